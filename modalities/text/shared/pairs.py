"""Pairs of segments and whether the second truly follows the first: data of sentence_pair and of masked_words.

Next sentence prediction of BERT (arXiv:1810.04805), sentence order prediction of ALBERT (arXiv:1909.11942), both at
once as in StructBERT (arXiv:1908.04577). Rows are those of `spans`: first sentence, first of segment B, the one
after the last, of one document. n rows of a batch, K candidates for a partner.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from modalities.text import packing
from modalities.text.packing import Index, Packed
from modalities.text.shared.ordering import keys_of

Negative = Literal["random", "swap", "three"]

# What the labels say, in order. Label 0 is the true order in all of them, as in BERT.
LABELS: dict[Negative, tuple[str, ...]] = {
    "random": ("next", "random"),
    "swap": ("next", "previous"),
    "three": ("next", "previous", "random"),
}
CANDIDATES = 8  # partners looked at, of either sort; the first that will do is taken


@dataclass(frozen=True)
class Segments:
    """Where segments lie in `packed.tokens`, and what they are. Both segments are runs of whole sentences."""

    a: Index  # (n, 2), first token and the one after the last
    b: Index  # (n, 2)
    label: Index  # (n,), numbers of `LABELS`


class Pairs:
    """Draws partners. A random one is segment B of another row, of another document.

    Of those it is one about as long as the true B: were it any, the sum of both lengths would tell the label, since
    true pairs fill their rows. For the same reason it is looked for among those that fit without being cut. A partner
    that begins as the true B does (a repeated sentence) is none.
    """

    def __init__(self, packed: Packed, negative: Negative) -> None:
        if negative not in LABELS:
            raise ValueError(f"model.negative is {negative}; use {', '.join(LABELS)}")
        rows = np.asarray(packed.examples, np.int64)
        self.packed = packed
        self.negative: Negative = negative
        ends = packed.offsets
        self.a = np.stack([ends[rows[:, 0]], ends[rows[:, 1]]], 1)  # (rows, 2)
        self.b = np.stack([ends[rows[:, 1]], ends[rows[:, 2]]], 1)
        self.room = int((self.b[:, 1] - self.a[:, 0]).max())  # tokens of a pair, special ones apart
        self.document = packed.document_of[rows[:, 0]]  # (rows,), rising
        self.key = keys_of(packed)[rows[:, 1]]  # (rows,), of B's first sentence
        if negative != "swap" and self.document[0] == self.document[-1]:
            raise ValueError(f"model.negative is {negative}, but one document has all pairs; use swap")
        # Rows in the order of the length of B. Ties are shuffled, or neighbours would be of one document.
        shuffled = np.random.default_rng(0).permutation(len(rows))
        self.order = shuffled[np.argsort((self.b[:, 1] - self.b[:, 0])[shuffled], kind="stable")]
        self.rank = np.argsort(self.order)

    def __len__(self) -> int:
        return len(self.a)

    def draw(self, index: Index, rng: np.random.Generator) -> Segments:
        """The rows of a batch, each with a label drawn evenly and the segment B that makes it true."""
        names = LABELS[self.negative]
        label = rng.integers(0, len(names), len(index))
        a, b = self.a[index].copy(), self.b[index].copy()
        back = label == (names.index("previous") if "previous" in names else -1)
        a[back], b[back] = self.b[index][back], self.a[index][back]
        other = np.flatnonzero(label == (names.index("random") if "random" in names else -1))
        if len(other):
            b[other] = self.b[self._partners(index[other], rng)]
            a[other], b[other] = fitted(a[other], b[other], self.room, rng)
        return Segments(a, b, label)

    def tokens(self, segments: Segments) -> Index:
        """(n, L): start, A, separator, B, separator, then pads."""
        return packing.frame([self.part(segments.a), self.part(segments.b)], self.packed.vocabulary)

    def part(self, span: Index) -> Index:
        """(n, L): the tokens of one segment of each row, then pads."""
        width = int((span[:, 1] - span[:, 0]).max(initial=1))
        return packing.rows(self.packed.tokens, span[:, 0], span[:, 1], width, self.packed.vocabulary.pad)

    def _partners(self, index: Index, rng: np.random.Generator) -> Index:
        """(n,), a row of another document for each."""
        n, rows = len(index), len(self.order)
        reach = min(max(8, rows // 20), 256)
        step = rng.integers(1, reach + 1, (n, CANDIDATES)) * rng.choice([-1, 1], (n, CANDIDATES))
        near = self.order[(self.rank[index][:, None] + step) % rows]  # (n, K), alike in length
        # Evenly among all rows of other documents: those of its own lie side by side, and are left out.
        own = np.searchsorted(self.document, self.document[index], "left")[:, None]
        many = np.searchsorted(self.document, self.document[index], "right")[:, None] - own
        far = (rng.random((n, CANDIDATES)) * (rows - many)).astype(np.int64)
        far += np.where(far >= own, many, 0)
        length = self.b[:, 1] - self.b[:, 0]
        space = self.room - (self.a[index, 1] - self.a[index, 0])[:, None]
        will_do = (self.document[near] != self.document[index][:, None]) & (length[near] <= space)
        found = np.concatenate([near, far], 1)
        will_do = np.concatenate([will_do, np.ones_like(far, bool)], 1)
        will_do &= self.key[found] != self.key[index][:, None]
        will_do[:, -1] = True
        chosen: Index = found[np.arange(n), will_do.argmax(1)]
        return chosen


def fitted(a: Index, b: Index, room: int, rng: np.random.Generator) -> tuple[Index, Index]:
    """Both spans cut until they fit `room` tokens together: the longer one loses tokens, at front or back by chance."""
    a, b = a.copy(), b.copy()
    long_a, long_b = a[:, 1] - a[:, 0], b[:, 1] - b[:, 0]
    excess = np.maximum(long_a + long_b - room, 0)
    level = np.minimum(excess, np.abs(long_a - long_b))  # until both are as long
    rest = excess - level
    cut_a = np.where(long_a > long_b, level, 0) + rest // 2
    cut_b = np.where(long_a > long_b, 0, level) + rest - rest // 2
    for span, cut in ((a, cut_a), (b, cut_b)):
        front = rng.binomial(cut, 0.5)
        span[:, 0] += front
        span[:, 1] -= cut - front
    return a, b


def spans(packed: Packed, length: int, short: float, rng: np.random.Generator) -> Index:
    """(n, 3): first sentence, first of segment B, the one after the last; of one document, two sentences or more.

    Whole sentences in at most `length` - 3 tokens. A share `short` of the rows aims at a random, smaller length, so
    that none learns to expect full rows (BERT's 10 %). Where A ends is drawn here, evenly over the sentence ends.

    A row begins with what did not fit the last one, so its first sentences are long and its last ones short. Half of
    the documents are therefore cut from their end: else lengths would tell the order of two segments.
    """
    total = len(packed.offsets) - 1
    forward = _runs(np.diff(packed.offsets), packed.documents, length, short, rng)
    back = _runs(np.diff(packed.offsets)[::-1], total - packed.documents[::-1], length, short, rng)
    coin = rng.random(len(packed.documents) - 1) < 0.5
    back = (total - back)[::-1, ::-1]
    of = packed.document_of
    found = np.concatenate([forward[coin[of[forward[:, 0]]]], back[~coin[of[back[:, 0]]]]])
    found = found[np.argsort(found[:, 0])]
    split = found[:, 0] + 1 + (rng.random(len(found)) * (found[:, 1] - found[:, 0] - 1)).astype(np.int64)
    return np.stack([found[:, 0], split, found[:, 1]], 1)


def _runs(lengths: Index, documents: Index, length: int, short: float, rng: np.random.Generator) -> Index:
    """(n, 2): sentences of these lengths in rows, one after another, as `spans` says."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    stops = np.repeat(documents[1:], np.diff(documents))  # (S,)
    found: list[tuple[int, int]] = []
    at, last = 0, len(lengths)
    room, brief = length - 3, rng.random(max(last, 1)) < short
    lower = rng.integers(2, max(room, 3), max(last, 1))
    while at < last:
        budget = int(lower[at] if brief[at] else room)
        stop = int(np.searchsorted(ends, ends[at] + budget, side="right")) - 1
        # At least two sentences, where two fit at all.
        least = at + 2 if ends[min(at + 2, last)] - ends[at] <= room else at + 1
        stop = min(max(stop, least), int(stops[at]))
        if stop - at >= 2:
            found.append((at, stop))
        at = max(stop, at + 1)
    return np.array(found, np.int64).reshape(-1, 2)
