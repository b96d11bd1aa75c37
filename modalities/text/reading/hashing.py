"""Words of many documents as 64-bit hashes, and runs of them: what finding copies works on.

The same text has the same hashes in every process and release: nothing of Python's own hashing is used.
D documents, W words in all.
"""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Index = NDArray[np.int64]


def words(texts: Sequence[str]) -> tuple[Hashes, Index]:
    """(W,) the hash of every word, case folded, and (D + 1,) where each text's begin.

    A word is a run of ASCII letters and digits, or of any other characters beyond ASCII.
    """
    folded = [text.casefold().encode("utf-8", "replace") for text in texts]
    ends = np.cumsum([0, *(len(text) + 1 for text in folded)])
    data = np.frombuffer(b"\n".join(folded) + b"\n", np.uint8)
    found, counts = _words(data, ends)
    return found, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def runs(hashes: Hashes, offsets: Index, length: int) -> tuple[Hashes, Index]:
    """The hash of every run of `length` words that stays inside its text, and where each text's begin."""
    counts = np.maximum(np.diff(offsets) - length + 1, 0)
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    where = np.arange(begins[-1]) + np.repeat(offsets[:-1] - begins[:-1], counts)
    found = np.zeros(len(where), np.uint64)
    with np.errstate(over="ignore"):
        for k in range(length):
            found = mixed(found * np.uint64(0x9E3779B97F4A7C15) + hashes[where + k])
    return found, begins


def mixed(x: Hashes) -> Hashes:
    """A bijection that spreads every bit over all (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True)
def _words(data: NDArray[np.uint8], ends: Index) -> tuple[Hashes, Index]:
    """FNV-1a of each word; texts lie back to back, a newline after each, as `ends` says."""
    found = np.empty(len(data) // 2 + 1, np.uint64)
    counts = np.zeros(len(ends) - 1, np.int64)
    total = 0
    for text in range(len(ends) - 1):
        value = np.uint64(0xCBF29CE484222325)
        inside = False
        for k in range(ends[text], ends[text + 1]):
            c = data[k]
            if (48 <= c <= 57) or (97 <= c <= 122) or c >= 128:
                value = (value ^ np.uint64(c)) * np.uint64(0x100000001B3)
                inside = True
            elif inside:
                found[total] = value
                total += 1
                counts[text] += 1
                value = np.uint64(0xCBF29CE484222325)
                inside = False
    return found[:total].copy(), counts


@numba.njit(cache=True)
def minhash(values: Hashes, begins: Index, multiply: Hashes, add: Hashes) -> Hashes:
    """(D, P): of each text's values, the least under each of P random maps x -> a·x + b; all ones for no values."""
    out = np.full((len(begins) - 1, len(multiply)), np.uint64(0xFFFFFFFFFFFFFFFF))
    for text in range(len(begins) - 1):
        for k in range(begins[text], begins[text + 1]):
            x = values[k]
            for p in range(len(multiply)):
                y = multiply[p] * x + add[p]
                y ^= y >> np.uint64(32)
                if y < out[text, p]:
                    out[text, p] = y
    return out


@numba.njit(cache=True)
def jaccard(values: Hashes, begins: Index, pairs: Index) -> NDArray[np.float64]:
    """(n,): shared over all distinct values of the two texts of each pair; each text's must be sorted."""
    out = np.zeros(len(pairs))
    for n in range(len(pairs)):
        i, j = begins[pairs[n, 0]], begins[pairs[n, 1]]
        i_end, j_end = begins[pairs[n, 0] + 1], begins[pairs[n, 1] + 1]
        shared = either = 0
        while i < i_end and j < j_end:
            x, y = values[i], values[j]
            either += 1
            if x == y:
                shared += 1
            if x <= y:
                while i < i_end and values[i] == x:
                    i += 1
            if y <= x:
                while j < j_end and values[j] == y:
                    j += 1
        while i < i_end:
            x = values[i]
            either += 1
            while i < i_end and values[i] == x:
                i += 1
        while j < j_end:
            y = values[j]
            either += 1
            while j < j_end and values[j] == y:
                j += 1
        out[n] = shared / max(either, 1)
    return out
