"""The sentence rule: golden lines, and the same text again when joined."""

import json

import pytest

from modalities.text.reading.sentences import MOST, split
from tests.conftest import ROOT

NEWS = ROOT / "../shared/data/text/bbcnews/train.jsonl"

GOLDEN = [  # a bar where a sentence ends
    "Dr. Smith paid $3.50 at 5 p.m. to J. R. Jones.|He left.",
    "He left.|She stayed.",
    "Is it so?|Yes it is!|No way.",
    "He said “Stop.”|She did not.",
    '"Is it?" he asked.|"It is."|They went home.',
    "Mr. and Mrs. Brown met Prof. Green.|They talked.",
    "The U.S. economy grew.|Prices fell.",
    "She lives in the U.S.|The house is old.",
    "It opened at 9 a.m. on Monday.|Nobody came.",
    "They met at 5 p.m.|The door was shut.",
    "See Fig. 3 and Eq. 4 for more.|The rest is below.",
    "No. 5 is alive.|It is well.",
    "He said no.|Nobody heard it.",
    "I met her in May.|It rained all day.",
    "The fee is 3.5 percent.|It rose by 0.5 points.",
    "J. K. Rowling wrote it.|I read it twice.",
    "It was I.|He was not there.",
    "Wait… what is this?|It is here.",
    "He paused…|Then he spoke again.",
    "Apples, pears, etc. were sold.|They were cheap.",
    "He bought apples, etc.|Then he went home.",
    "Acme Inc. sold Widget Co. last year.|It was a bargain.",
    "He works for Acme Inc.|The pay is good.",
    "Version 2.0 is out.|Get it now.",
    "What now?!|I cannot believe it.",
    "(It was late.)|We left then.",
    "It ended [see below].|Then it began again.",
    "On Jan. 5 it snowed.|On Feb. 6 it thawed.",
    "Cf. Sec. 2 and vol. 3, pp. 4 ff. for this.|That is all.",
    "Gen. Lee met Sen. Clay and Rep. Dole.|All smiled.",
    "They came, i.e. they won.|Nobody asked.",
    "Use tools, e.g. A hammer, to do it.|It works.",
    "St. Paul is a city.|It is cold there.",
    "3 men came.|5 men left.",
    "He scored.|2 minutes later he scored again.",
    "Visit example.com for more.|It is free.",
    "the end.|Then it went on.",
    "This is it. and it goes on.",
    "He left at last.|¿Quién es?|No one knew.",
    "Ж. И. Иванов пришёл.|Он ушёл домой.",
    "It asked the SEC.|The answer is in Sec. 7.|Nobody read it.",
]


@pytest.mark.parametrize("line", GOLDEN)
def test_golden_lines(line: str) -> None:
    assert split(line.replace("|", " ")) == line.split("|")


def test_a_fragment_joins_the_sentence_before_it() -> None:
    assert split("We came home. Yes. It was late.") == ["We came home. Yes.", "It was late."]
    assert split("No. Then we left.") == ["No. Then we left."]


def test_a_long_sentence_is_cut_at_its_last_mark() -> None:
    words = [f"w{k}," if k == 150 else f"w{k}" for k in range(MOST + 50)]
    parts = split(" ".join(words))
    assert [part.count(" ") + 1 for part in parts] == [151, MOST + 50 - 151] and parts[0].endswith("w150,")
    bare = split(" ".join(["x"] * 450))
    assert [part.count(" ") + 1 for part in bare] == [200, 200, 50]


def test_joined_by_a_space_sentences_are_the_paragraph_again() -> None:
    text = " ".join(line.replace("|", " ") for line in GOLDEN)
    assert " ".join(split(text)) == text


def ends(parts: list[str], text: str) -> set[int]:
    """Where sentences end, but for the last."""
    found, at = set(), 0
    for part in parts:
        at = text.index(part, at) + len(part)
        found.add(at)
    return found - {len(text)}


@pytest.mark.skipif(not NEWS.exists(), reason="the news articles are not here")
def test_punkt_trained_on_the_corpus_ends_sentences_at_the_same_places() -> None:
    """Second implementation: Kiss and Strunk 2006, which learns short forms from the text without labels."""
    from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTrainer

    rows = [json.loads(line) for line in NEWS.read_text().splitlines()[:250]]
    texts = [" ".join(text.split()) for row in rows for text in row["paragraphs"]]
    trainer = PunktTrainer()
    trainer.train("\n\n".join(texts))
    punkt = PunktSentenceTokenizer(trainer.get_params())
    both = either = 0
    for text in texts:
        ours, theirs = ends(split(text), text), ends(punkt.tokenize(text), text)
        both, either = both + len(ours & theirs), either + len(ours | theirs)
    assert either > 1000 and both / either > 0.95
