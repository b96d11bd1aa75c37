"""Bytes to text: marks of byte order, UTF-8, the encodings that are listed, and a guess that is told.

No letter is dropped in silence: what no encoding explains is refused, or becomes U+FFFD and is counted.
"""

import codecs
import re
import unicodedata
from collections.abc import Sequence

from modalities.text.reading.reasons import Reason, Refused

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
BINARY = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"%PDF",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"RIFF",
    b"\x7fELF",
)
REPLACED = 0.001  # most U+FFFD, a share of the characters
PAIRS = 0.3  # of the bytes at even or at odd places must be NUL for UTF-16 without a mark
HIGH = re.compile(r"[^\x00-\x7f]{3}")


def decode(data: bytes, encodings: Sequence[str]) -> tuple[str, str]:
    """The text, and what was done to get it that was not plain UTF-8 ("" for nothing). Raises Refused."""
    if data.startswith(BINARY):
        raise Refused(Reason.BINARY, "the file begins as no text does")
    for mark, name in MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(name), "" if name == "utf-8" else f"read as {name}"
            except UnicodeDecodeError as error:
                raise Refused(
                    Reason.ENCODING, f"not the {name} its mark says, at byte {error.start}"
                ) from None
    if b"\0" in data:
        return _with_nuls(data)
    failed = 0
    for name in encodings:
        try:
            text = data.decode(name)
        except UnicodeDecodeError as error:
            if name == "utf-8":
                failed = error.start
                if broken := _broken(data):
                    return broken
            continue
        except LookupError:
            raise ValueError(f'text.ingest.encodings has "{name}", which Python does not know') from None
        # Any bytes are valid in most encodings of one byte a character; three such letters in a row are no word
        # of the languages these serve.
        if name in ("utf-8", "ascii") or not HIGH.search(text):
            return text, "" if name in ("utf-8", "ascii") else f"read as {name}"
    return _guess(data, failed)


def _with_nuls(data: bytes) -> tuple[str, str]:
    """UTF-16 without a mark has a NUL at every other byte, where its text is mostly Latin."""
    even, odd = data[::2].count(0) / len(data[::2]), data[1::2].count(0) / max(1, len(data[1::2]))
    for share, other, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if share > PAIRS and other < PAIRS / 10:
            try:
                text = data.decode(name)
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                return text, f"read as {name}"
    where = data.index(0)
    raise Refused(Reason.NUL, f"{data.count(0):,}, the first at byte {where}")


def _broken(data: bytes) -> tuple[str, str] | None:
    """UTF-8 with a few bytes wrong, each now U+FFFD; None where nothing says that it is UTF-8 at all."""
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = sum(not c.isascii() for c in text) - wrong
    if right > wrong and wrong <= REPLACED * len(text):
        return text, "bytes that are no UTF-8 replaced by U+FFFD"
    return None


def _guess(data: bytes, failed: int) -> tuple[str, str]:
    """charset-normalizer's best, where it is sure of a language; it needs some text for that."""
    from charset_normalizer import from_bytes

    best = from_bytes(data[: 1 << 18]).best()
    if best is None or best.coherence < 0.5 or best.encoding in ("utf_8", "ascii"):
        raise Refused(
            Reason.ENCODING, f"not UTF-8 at byte {failed}, nor any encoding of text.ingest.encodings"
        )
    try:
        text = data.decode(best.encoding)
    except UnicodeDecodeError as error:
        raise Refused(
            Reason.ENCODING, f"not UTF-8 at byte {failed}, nor {best.encoding} at {error.start}"
        ) from None
    if any(_latin(c) for run in HIGH.findall(text) for c in run):
        raise Refused(Reason.ENCODING, f"not UTF-8 at byte {failed}; {best.encoding} makes no words of it")
    return text, f"read as {best.encoding}, a guess"


def _latin(character: str) -> bool:
    return not character.isalpha() or unicodedata.name(character, "").startswith("LATIN")
