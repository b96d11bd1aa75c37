"""One document on its way into the corpus."""

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from modalities.text.reading.clean import clean
from modalities.text.reading.reasons import Reason, Refused
from modalities.text.reading.sentences import split


class Record(NamedTuple):
    """What a source says of a document, before it is cleaned. `name` is where it was found."""

    name: str
    text: str
    title: str = ""
    label: str | None = None
    split: str | None = None  # where there is an official one
    group: str | None = None  # what must stay on one side of a hashed split; None: the document itself
    summary: str = ""


class Document(NamedTuple):
    """Cleaned, with its sentences. The text is its paragraphs a blank line apart, sentences joined by a space."""

    id: str  # 16 hex of the SHA-256 of the cleaned text
    name: str
    title: str
    label: str | None
    split: str
    summary: str
    paragraphs: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        return "\n\n".join(map(" ".join, self.paragraphs))

    @property
    def words(self) -> int:
        return sum(s.count(" ") + 1 for s in self.sentences())

    def sentences(self) -> Iterator[str]:
        return (s for part in self.paragraphs for s in part)


def make(record: Record, shares: dict[str, float]) -> tuple[Document, list[str]]:
    """Clean a record, cut it into sentences, say which split it is in, and what is worth telling. Raises Refused.

    `shares` are those of valid and test, taken by a hash of the group, or of the id, where no split is official.
    """
    paragraphs, notes = clean(record.text)
    identity = hashlib.sha256("\n\n".join(paragraphs).encode("utf-8", "replace")).hexdigest()[:16]
    title, summary = (" ".join(text.split()) for text in (record.title, record.summary.replace("\n", " ")))
    part = record.split or drawn(record.group, identity, shares)
    sentences = tuple(tuple(split(paragraph)) for paragraph in paragraphs)
    found = Document(identity, record.name, title, record.label, part, summary, sentences)
    try:
        found.text.encode()
    except UnicodeEncodeError:
        raise Refused(Reason.REPLACED, "half of a surrogate pair") from None
    return found, notes


def drawn(group: str | None, identity: str, shares: dict[str, float]) -> str:
    """The split by hash: the first 8 hex digits of the id, or of the group's own hash, as a share of all."""
    if group is not None:
        identity = hashlib.sha256(os.fsencode(group)).hexdigest()
    place = int(identity[:8], 16) / 2**32
    for name in ("test", "valid"):
        if place < shares.get(name, 0.0):
            return name
        place -= shares.get(name, 0.0)
    return "train"
