"""Which words are hidden, and what stands in their place: a whole batch at once.

BERT (arXiv:1810.04805): so many of the places, most of them masked, some kept, some another word's. Whole words, and
ALBERT's runs of one to three words (arXiv:1909.11942), are hidden all or none.
n rows, L tokens, W words.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.text.shared.targets import NONE
from modalities.text.vocabulary import Vocabulary

Unit = Literal["token", "word", "ngram"]
Mask = NDArray[np.bool_]
Draws = NDArray[np.float64]

RUN = 3  # words of the longest n-gram


def count(tokens: Index, rate: float, pad: int) -> Index:
    """(n,): how many places of each row are asked: the rate of its tokens, special ones counted, and one at least."""
    found: Index = np.maximum(1, np.rint(rate * np.count_nonzero(tokens != pad, 1))).astype(np.int64)
    return found


def places(candidates: Mask, wanted: Index, draws: Draws) -> Mask:
    """(n, L): `wanted` of the candidates of each row, one at least, or all there are; those with the lowest draws."""
    width = candidates.shape[1]
    # Draw and column in one number: sorting numbers is several times faster than sorting places by them, and numbers of
    # 32 bits, which leave a draw 24 and more in rows up to 256, three times faster again.
    bits = max(1, (width - 1).bit_length())
    kind: Any = np.uint32 if bits <= 8 else np.uint64
    left = 32 - bits if bits <= 8 else 40
    key = (draws * (2.0**left - 1)).astype(kind) << kind(bits) | np.arange(width, dtype=kind)
    np.copyto(key, np.iinfo(kind).max, where=~candidates)  # which no draw reaches
    worst = np.sort(key, axis=1)[np.arange(len(key)), np.clip(wanted, 1, width) - 1]
    found: Mask = candidates & (key <= worst[:, None])
    return found


def words(candidates: Mask, starts: Mask, wanted: Index, draws: Draws, lengths: Draws | None) -> Mask:
    """(n, L): whole words, in the order of their first token's draw; one that would pass `wanted` is passed over.

    With `lengths`, uniform draws too, each is the first of a run of 1 to 3 words, p(n) ∝ 1/n; a run does not cross a
    special token, and one that meets a word already taken is passed over. A row with no word short enough gives its
    last. All rows go forward together, a word a step, until each has enough.
    """
    n, width = candidates.shape
    first = candidates & (starts | ~np.pad(candidates, ((0, 0), (1, 0)))[:, :-1])
    word = np.cumsum(first, 1) - 1  # (n, L), of its row
    many = first.sum(1)
    most = max(1, int(many.max(initial=1)))
    row, column = np.nonzero(first)
    at = np.full((n, most + RUN), width)
    at[row, word[row, column]] = column  # first token of each word
    flat = (word + np.arange(n)[:, None] * (most + RUN))[candidates]
    size = np.bincount(flat, minlength=n * (most + RUN)).reshape(n, most + RUN)  # tokens of each word
    order = np.argsort(
        np.where(first, draws, 2.0), axis=1
    )  # columns of first tokens, in the order of their draws
    taken = np.zeros((n, most + RUN), bool)
    room, every = wanted.copy(), np.arange(n)
    for step in range(most):
        if not room.any():
            break
        head = order[:, step]
        here = word[every, head]
        span = _span(at, size, here, every, head, lengths)
        inside = here[:, None] + np.arange(RUN)
        asked = np.arange(RUN) < span[:, None]
        total = np.where(asked, size[every[:, None], inside], 0).sum(1)
        free = ~(taken[every[:, None], inside] & asked).any(1)
        good = (step < many) & free & ((total <= room) | ((room == wanted) & (step == many - 1)))
        rows = np.flatnonzero(good)
        taken[rows[:, None], inside[rows]] |= asked[rows]
        room[rows] = np.maximum(room[rows] - total[rows], 0)
    found: Mask = candidates & taken[every[:, None], np.maximum(word, 0)]
    return found


def _span(at: Index, size: Index, here: Index, every: Index, head: Index, lengths: Draws | None) -> Index:
    """(n,): how many words from each word on, without a gap between them."""
    if lengths is None:
        return np.ones(len(here), np.int64)
    share = np.cumsum(1 / np.arange(1, RUN + 1)) / np.sum(1 / np.arange(1, RUN + 1))
    span = 1 + np.searchsorted(share, lengths[every, head], side="right")
    for k in range(RUN - 1, 0, -1):
        follows = at[every, here + k] == at[every, here + k - 1] + size[every, here + k - 1]
        span = np.where((span > k) & ~follows, k, span)
    return span


def replaced(
    tokens: Index,
    asked: Mask,
    split: tuple[float, float, float],
    fate: Draws,
    other: Draws,
    vocabulary: Vocabulary,
) -> tuple[Index, Index]:
    """What the network reads, and (n, L) what it is asked for, NONE elsewhere.

    Of the places that are asked, in the order of rows and columns, `split` says which shares are the mask, the word
    itself and any word; the last are drawn from all entries but the special ones (BERT draws from all). `fate` and
    `other` are uniform, one a place that is asked.
    """
    mask, kept, _ = split
    where = np.flatnonzero(asked)
    own = tokens.ravel()[where]
    drawn = vocabulary.specials + (other * (len(vocabulary) - vocabulary.specials)).astype(np.int64)
    read, target = tokens.flatten(), np.full(tokens.size, NONE, np.int64)
    read[where] = np.where(fate < mask, vocabulary.mask, np.where(fate < mask + kept, own, drawn))
    target[where] = own
    return read.reshape(tokens.shape), target.reshape(tokens.shape)


def fixed(keys: Index, width: int, salt: int) -> Draws:
    """(n, width) uniform draws that are a pure function of (key, salt) and the column: masks that never move."""
    with np.errstate(over="ignore"):
        x = np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15) + keys.astype(np.uint64)
        x = _spread(x)[:, None] + np.arange(1, width + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (_spread(x) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _spread(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
