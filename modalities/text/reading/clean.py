"""Cleaning: NFC, no control characters, no invisible ones, one space between words, paragraphs apart. Case stays.

Joiners (U+200C, U+200D) stay too, though they are invisible: without them Persian words and emoji are others.
"""

import re
import unicodedata

from modalities.text.reading.decode import REPLACED
from modalities.text.reading.reasons import Reason, Refused

CONTROLS = 0.05  # most control characters, a share of all

ESCAPE = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]")  # of terminals: colours, cursor
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
NEWLINE = re.compile("\r\n?")
BLANK = re.compile(r"\n\s*\n")
TWICE = re.compile("Ã[\u0080-\u00bf]|â€[™œ\u009d“”˜¦\u0093\u0094]|Â[\u00a0-\u00bf]")  # UTF-8 read as cp1252
PLAIN = re.compile(r"[ -~\n]*")


def clean(text: str) -> tuple[list[str], list[str]]:
    """Paragraphs, none of them empty, and what is worth telling of. Raises Refused.

    A blank line parts two paragraphs, a single newline is a space. U+2028 and other Unicode spaces are spaces.
    """
    if not text.strip():
        raise Refused(Reason.NO_TEXT, "empty" if not text else "white space alone")
    notes: list[str] = []
    if not PLAIN.fullmatch(text):
        text, notes = _special(text)
    paragraphs = [" ".join(part.split()) for part in BLANK.split(text)]
    found = [part for part in paragraphs if part]
    if not found:
        raise Refused(Reason.NO_TEXT, "nothing that can be seen")
    return found, notes


def _special(text: str) -> tuple[str, list[str]]:
    notes = []
    replaced = text.count("\ufffd")
    if replaced > REPLACED * len(text):
        raise Refused(Reason.REPLACED, f"{replaced:,} U+FFFD among {len(text):,} characters")
    text = ESCAPE.sub("", text)
    bare, controls = CONTROL.subn("", text)
    if controls > CONTROLS * len(text):
        raise Refused(Reason.CONTROL, f"{controls:,} among {len(text):,} characters")
    if controls:
        notes.append("control characters removed")
    if len(TWICE.findall(bare)) > 1:
        notes.append("looks decoded twice (Ã©, â€™); left as it is")
    bare = INVISIBLE.sub("", NEWLINE.sub("\n", bare))
    return unicodedata.normalize("NFC", bare), notes
