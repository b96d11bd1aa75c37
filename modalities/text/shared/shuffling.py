"""Rows of units (sentences or words) put into another order and laid side by side, a whole batch at once.

N rows, U units at most in one, L tokens. A unit is a run of tokens.
"""

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.text.packing import Packed, Tokens

Mask = NDArray[np.bool_]


def sentences(packed: Packed, first: Index, last: Index) -> tuple[Index, Mask]:
    """Spans (N, U, 2) in `packed.tokens` of sentences first .. last - 1 of each row, and which are there (N, U)."""
    where, there = _filled(first, last)
    return np.stack([packed.offsets[where], packed.offsets[where + there]], 2), there


def words(packed: Packed, first: Index, last: Index) -> tuple[Index, Mask]:
    """The same of the words of those sentences."""
    begins = np.append(np.flatnonzero(packed.starts), len(packed.tokens))
    low = np.searchsorted(begins, packed.offsets[first])
    where, there = _filled(low, np.searchsorted(begins, packed.offsets[last]))
    return np.stack([begins[where], begins[where + there]], 2), there


def _filled(first: Index, last: Index) -> tuple[Index, Mask]:
    """first .. last - 1 of each row from the left; what is not there repeats the first."""
    where = first[:, None] + np.arange(int((last - first).max(initial=1)))
    there = where < last[:, None]
    return np.where(there, where, first[:, None]), there


def groups(there: Mask, window: int, rng: np.random.Generator) -> Index:
    """(N, U): the number of the group that each unit belongs to: `window` neighbours, or with 0 the whole row.

    Where groups begin is drawn for each row, so that any neighbours can be of one.
    """
    if not window:
        return np.zeros(there.shape, np.int64)
    begin = rng.integers(0, window, (len(there), 1))
    return (np.arange(there.shape[1]) + begin) // window


def shuffled(there: Mask, group: Index, share: float, rng: np.random.Generator) -> tuple[Index, Mask]:
    """An order (N, U) of each row, and which slots are in a shuffled group (N, U).

    Slot k of row r gets unit order[r, k]. A share of the groups, and at least one a row, has its units in an order
    that is uniform among all, the true one included; the rest stays. What is not there stays last.
    """
    n, most = there.shape
    count = int(group.max(initial=0)) + 1
    full = np.zeros((n, count), np.int64)
    np.add.at(full, (np.arange(n)[:, None], group), there)
    draw = np.where(full > 1, rng.random((n, count)), 2.0)  # a group of one has nothing to shuffle
    chosen = (draw < share) | (draw == draw.min(1, keepdims=True))
    moved = np.take_along_axis(chosen, group, 1) & there
    key = np.where(moved, rng.random((n, most)), np.arange(most) / most)
    key = np.where(there, group + key, count + np.arange(most))
    return np.argsort(key, 1, kind="stable"), moved


def laid(
    tokens: Tokens, spans: Index, there: Mask, *, pad: int, opener: int | None, closer: int
) -> tuple[Index, Index]:
    """Token ids (N, L), pads on the right, of units side by side, and where each begins (N, U).

    `opener` is a token put before each unit (None: none), `closer` one after the last. Where a unit opens is its
    opener's place. A unit that is not there begins at 0.
    """
    n = len(spans)
    extra = 0 if opener is None else 1
    lengths = np.where(there, spans[..., 1] - spans[..., 0] + extra, 0)  # (N, U)
    ends = lengths.cumsum(1)
    places = np.where(there, ends - lengths, 0)
    total = ends[:, -1]
    out = np.full((n, int(total.max(initial=0)) + 1), pad, np.int64)
    row, unit = np.nonzero(there)
    bare = (lengths - extra)[row, unit]
    nth = np.arange(bare.sum()) - np.repeat(bare.cumsum() - bare, bare)
    column = np.repeat(places[row, unit] + extra, bare) + nth
    out[np.repeat(row, bare), column] = tokens[np.repeat(spans[row, unit, 0], bare) + nth]
    if opener is not None:
        out[row, places[row, unit]] = opener
    out[np.arange(n), total] = closer
    return out, places
