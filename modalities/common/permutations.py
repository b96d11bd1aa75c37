"""Permutations as classes: few of the many, far apart in Hamming distance (Noroozi and Favaro 2016, arXiv:1603.09246).

K permutations of T things, (K, T): row k says which thing stands in each slot.
"""

from itertools import chain, permutations

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index


def far_apart(things: int, count: int, first: int) -> NDArray[np.int8]:
    """`count` permutations of 0 .. T - 1, chosen greedily, from the one of lexicographic number `first` on.

    Each next one has the largest minimum Hamming distance to those chosen, among these the largest mean distance,
    among these the lowest number. Choosing by the mean alone gives near twins: at 64 of nine things, a minimum of 2
    for 7.
    """
    rows = np.fromiter(chain.from_iterable(permutations(range(things))), np.int8).reshape(-1, things)
    every = np.ascontiguousarray(rows.T)  # (T, T!): sums along a short last axis are ten times slower
    least, total = np.full(len(rows), things, np.int32), np.zeros(len(rows), np.int32)
    chosen = [first]
    while len(chosen) < count:
        distance = (every != every[:, chosen[-1:]]).sum(0, dtype=np.int8)
        np.minimum(least, distance, out=least)
        total += distance
        # A total stays below T * count, so that one number orders by both. Those chosen have a minimum of 0.
        chosen.append(int((least.astype(np.int64) * (things * count) + total).argmax()))
    return rows[chosen]


def distances(chosen: NDArray[np.int8]) -> Index:
    """Hamming distances of all pairs of K rows, (K * (K - 1) / 2,)."""
    found = [(chosen[k] != chosen[k + 1 :]).sum(1) for k in range(len(chosen) - 1)]
    return np.concatenate(found).astype(np.int64)
