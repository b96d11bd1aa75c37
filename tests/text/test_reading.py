"""What is done to a text before it is a document: decoding, parting, and what the default news have too much of."""

import pytest

from modalities.text.reading import carried
from modalities.text.reading.decode import decode
from modalities.text.reading.parting import parts


def test_long_files_blank_lines_and_wikitext_headings() -> None:
    text = "One two three.\n\nFour five six.\n\n\nSeven eight nine."
    assert [part for _, part in parts(text, 0, 0)] == [text]
    assert [part.strip() for _, part in parts(text, 1, 0)] == [
        "One two three.", "Four five six.", "Seven eight nine.",
    ]  # fmt: skip
    assert [part.strip() for _, part in parts(text, 2, 0)] == [
        "One two three.\n\nFour five six.",
        "Seven eight nine.",
    ]
    assert [len(part.split()) for _, part in parts(text, 0, 6)] == [6, 3]
    lines = "\n".join(["a b c d e"] * 10)
    assert [len(part.split()) for _, part in parts(lines, 0, 20)] == [20, 20, 10]
    wiki = " \n = First = \n \n Text of it . \n = = Part = = \n More . \n \n = Second = \n \n Other . \n"
    assert [(title, part.split()[0]) for title, part in parts(wiki, 0, 0)] == [
        ("First", "Text"),
        ("Second", "Other"),
    ]


def test_datelines_credits_and_publishers_go() -> None:
    article = carried.article
    assert article("BAKU, February 7. /TASS/. A man came.", "tass.com") == "A man came."
    assert (
        article("Washington (CNN)Vice President Pence cast a vote.", "www.cnn.com")
        == "Vice President Pence cast a vote."
    )
    left = article("It rose. He told BBC News so. It fell. Source:-News agencies", "www.bbc.co.uk")
    assert left.split() == ["It", "rose.", "It", "fell."]
    assert article("One end. - Next part begins.", "x") == "One end.\n\nNext part begins."
    assert carried.tweet("RT @bbchealth: #Flu jab 'works' http://bbc.in/x") == "Flu jab 'works'"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Größe".encode("utf-8-sig"), "Größe"),
        ("Größe".encode("utf-16"), "Größe"),
        ("Größe und noch mehr".encode("utf-16-be"), "Größe und noch mehr"),
        ("Größe".encode("utf-32"), "Größe"),
        ("Größe".encode("cp1252"), "Größe"),
        (("Это довольно длинный русский текст для проверки. " * 5).encode("cp1251"), None),
        ("é" * 3000 + "x", None),
    ],
)
def test_decoding(data: bytes | str, text: str | None) -> None:
    if isinstance(data, str):  # UTF-8 with one byte wrong among many: that one is replaced, and told
        found, note = decode(data.encode() + b"\xff", ["utf-8", "cp1252"])
        assert found == data + "\ufffd" and "U+FFFD" in note
    elif text is None:
        assert decode(data, ["utf-8", "cp1252"])[0].startswith("Это довольно")
    else:
        assert decode(data, ["utf-8", "cp1252"])[0] == text
