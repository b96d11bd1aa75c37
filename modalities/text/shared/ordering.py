"""Orders of a few units: how passages are cut, how an order is read out of pair scores, and how orders are judged.

P passages, U units at most in one, n units in a certain one.
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.text.packing import Packed, document

EXACT = 7  # units up to which all orders are tried: 5,040


def passages(packed: Packed, length: int, most: int) -> Index:
    """(P, 2): runs of 3 to `most` whole sentences of one document in at most `length` - 2 tokens, one after another.

    Without those that have a sentence twice, since no one can tell their order.
    """
    found = document(packed, length, least=3, most=most)
    counts = found[:, 1] - found[:, 0]
    where = found[:, :1] + np.arange(max(most, 1))
    inside = np.arange(max(most, 1)) < counts[:, None]
    keys = keys_of(packed)[np.minimum(where, len(packed.offsets) - 2)]
    keys = np.sort(np.where(inside, keys, -1 - np.arange(max(most, 1))), 1)
    kept: Index = found[(keys[:, 1:] != keys[:, :-1]).all(1)]
    return kept


def keys_of(packed: Packed) -> Index:
    """(S,) from 0 on, equal for sentences of the same tokens and for no others but by a chance of 2^-62."""
    counts = np.diff(packed.offsets)
    place = np.arange(len(packed.tokens)) - np.repeat(packed.offsets[:-1], counts)
    odd = np.random.default_rng(1).integers(1, 1 << 62, int(counts.max(initial=1)), np.uint64)
    mixed = (packed.tokens.astype(np.uint64) + np.uint64(1)) * (np.uint64(2) * odd + np.uint64(1))[place]
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    keys: Index = ((total[packed.offsets[1:]] - total[packed.offsets[:-1]]) >> np.uint64(1)).view(np.int64)
    return keys


def decode(before: NDArray[np.floating]) -> Index:
    """(n,): the units in the likeliest order, given before[i, j] = log P(unit i stands before unit j).

    Exact over all orders for n up to 7, the first of equals in lexicographic order; above, units are sorted by the sum
    of the probabilities that they stand before another.
    """
    n = len(before)
    if n > EXACT:
        return np.argsort(-(np.exp(before) * ~np.eye(n, dtype=bool)).sum(1), kind="stable")
    orders = np.array(list(permutations(range(n))))  # (n!, n)
    first, second = np.triu_indices(n, 1)
    total = before[orders[:, first], orders[:, second]].sum(1)
    chosen: Index = orders[total.argmax()]
    return chosen


def judged(orders: list[Index]) -> dict[str, float]:
    """Means over passages of orders read out, (n,) each: unit numbers, of which 0 .. n - 1 is the true order.

    accuracy: the share of units at their place. pmr: whether all are ("perfect match ratio"). tau: Kendall's, 1 - 2 *
    inversions / pairs. Each beside what a random order scores: 1/n, 1/n! and 0.
    """
    rows: dict[str, list[float]] = {
        "accuracy": [],
        "pmr": [],
        "tau": [],
        "accuracy.chance": [],
        "pmr.chance": [],
    }
    for order in orders:
        n = len(order)
        right = order == np.arange(n)
        rows["accuracy"].append(right.mean())
        rows["pmr"].append(right.all())
        rows["tau"].append(tau(order))
        rows["accuracy.chance"].append(1 / n)
        rows["pmr.chance"].append(1 / float(np.prod(np.arange(1, n + 1))))
    return {name: float(np.mean(values)) for name, values in rows.items()} | {"tau.chance": 0.0}


def tau(order: Index) -> float:
    """Kendall's tau of an order and 0 .. n - 1, n of 2 or more."""
    first, second = np.triu_indices(len(order), 1)
    return float(1 - 2 * (order[first] > order[second]).mean())
