"""Copies: the same text, nearly the same text, sentences that every document has, runs of words of a test set.

Near copies are found by MinHash and bands (Broder 1997): documents that agree in all rows of one band are candidates,
and the true share of common shingles decides. So the answer depends on no order of the files.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modalities.text.reading import hashing
from modalities.text.reading.document import Document

SHINGLE = 5  # words
BANDS, ROWS = 16, 8  # the knee lies at (1/16)^(1/8) = 0.71
RUN = 13  # words in a row that show a test set to be in the training text
CROWD = 64  # of one band, each is compared with so many: more are copies of one thing anyway


class Duplicate(NamedTuple):
    """A row of duplicates.parquet."""

    dropped: str  # ids
    kept: str
    kind: str  # exact | near
    similarity: float


def exact(documents: Sequence[Document]) -> tuple[list[Document], list[Duplicate]]:
    """One of each case-folded text: a test one first, then one with a label, then the smallest id and name."""
    same: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        same[" ".join(document.text.casefold().split())].append(document)
    kept, dropped = [], []
    for copies in same.values():
        copies.sort(key=_rank)
        kept.append(copies[0])
        # Copies whose labels differ have none: no one can say which is right.
        if len({copy.label for copy in copies if copy.label is not None}) > 1:
            kept[-1] = copies[0]._replace(label=None)
        dropped += [Duplicate(copy.id, copies[0].id, "exact", 1.0) for copy in copies[1:]]
    return kept, dropped


def near(documents: Sequence[Document], least: float) -> tuple[list[Document], list[Duplicate]]:
    """Without what shares `least` or more of its 5-word shingles (Jaccard) with a document that is kept.

    Two documents of the test split are both kept: official test sets stay as they are. A `least` above 1 keeps all.
    """
    if least > 1 or len(documents) < 2:
        return list(documents), []
    ordered = sorted(documents, key=_rank)
    values, begins = hashing.runs(*hashing.words([each.text for each in ordered]), SHINGLE)
    pairs = _candidates(values, begins)
    order = np.lexsort((values, np.repeat(np.arange(len(ordered)), np.diff(begins))))
    similar = hashing.jaccard(values[order], begins, pairs)
    partners: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (first, second), share in zip(
        pairs[similar >= least].tolist(), similar[similar >= least], strict=True
    ):
        partners[second].append((first, float(share)))
    kept: set[int] = set()
    dropped = []
    for k, document in enumerate(ordered):
        better = [
            (first, share) for first, share in sorted(partners[k])
            if first in kept and not (document.split == "test" == ordered[first].split)
        ]  # fmt: skip
        if better:
            first, share = better[0]
            dropped.append(Duplicate(document.id, ordered[first].id, "near", round(share, 4)))
        else:
            kept.add(k)
    return [document for k, document in enumerate(ordered) if k in kept], dropped


def _candidates(values: hashing.Hashes, begins: hashing.Index) -> hashing.Index:
    """(n, 2) pairs of documents, the smaller number first, that agree in one band or more."""
    rng = np.random.default_rng(0)  # the maps are part of the method, not of a run
    multiply = rng.integers(0, 2**64, BANDS * ROWS, np.uint64) | np.uint64(1)
    add = rng.integers(0, 2**64, BANDS * ROWS, np.uint64)
    signatures = hashing.minhash(values, begins, multiply, add)
    enough = np.flatnonzero(np.diff(begins) > 0)
    found = []
    for band in range(BANDS):
        key = np.zeros(len(enough), np.uint64)
        with np.errstate(over="ignore"):
            for row in range(band * ROWS, (band + 1) * ROWS):
                key = hashing.mixed(key * np.uint64(0x9E3779B97F4A7C15) + signatures[enough, row])
        order = np.argsort(key, kind="stable")
        key, who = key[order], enough[order]
        for step in range(1, CROWD):
            equal = np.flatnonzero(key[step:] == key[:-step])
            if not len(equal):
                break
            found.append(np.sort(np.stack([who[equal], who[equal + step]], 1), 1))
    if not found:
        return np.zeros((0, 2), np.int64)
    return np.unique(np.concatenate(found), axis=0)


def _rank(document: Document) -> tuple[bool, bool, bool, str, str]:
    return (
        document.split != "test", document.split != "valid", document.label is None, document.id, document.name
    )  # fmt: skip


def boilerplate(documents: Sequence[Document], most: int, words: int = 20) -> tuple[list[Document], int]:
    """Without sentences of fewer than `words` words that more than `most` training documents have; and how many went.

    A `most` of 0 keeps all.
    """
    if not most:
        return list(documents), 0
    counts: Counter[str] = Counter()
    for document in documents:
        if document.split == "train":
            counts.update({s.casefold() for s in document.sentences() if s.count(" ") + 1 < words})
    common = {sentence for sentence, count in counts.items() if count > most}
    if not common:
        return list(documents), 0
    out, gone = [], 0
    for document in documents:
        left = [[s for s in part if s.casefold() not in common] for part in document.paragraphs]
        gone += sum(map(len, document.paragraphs)) - sum(map(len, left))
        out.append(document._replace(paragraphs=tuple(tuple(part) for part in left if part)))
    return out, gone


def leaks(documents: Sequence[Document], tests: dict[str, Sequence[str]]) -> dict[int, str]:
    """Which training documents share 13 words in a row with a text of a test set, and the first such set by name."""
    train = [k for k, document in enumerate(documents) if document.split == "train"]
    values, begins = hashing.runs(*hashing.words([documents[k].text for k in train]), RUN)
    owner = np.repeat(np.arange(len(train)), np.diff(begins))
    found: dict[int, str] = {}
    for name in sorted(tests):
        seen = np.unique(hashing.runs(*hashing.words(tests[name]), RUN)[0])
        for k in np.unique(owner[np.isin(values, seen)]).tolist():
            found.setdefault(train[k], name)
    return found
