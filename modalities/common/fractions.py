"""Shares of the labels: class-balanced, nested, and the same for every method that asks with the same seed."""

import hashlib
from collections.abc import Sequence

import numpy as np

from modalities.base import Index


def subset(labels: Index, ids: Sequence[str], fraction: float, *, seed: int, draw: int) -> Index:
    """Sorted rows of round(fraction · n) samples of each class, at least one; rows labelled -1 are never taken.

    Each class is ordered on a hash of (seed, draw, id). So the subset of a smaller fraction lies in that of a larger
    one, and a sample's place depends neither on the order of the corpus nor on other samples coming and going.
    Raises ValueError where the fraction is not above 0 and at most 1.
    """
    check([fraction])
    chosen = [np.zeros(0, np.int64)]
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label).tolist()
        count = max(1, round(fraction * len(rows)))
        order = sorted(rows, key=lambda row: _place(ids[row], seed, draw)) if count < len(rows) else rows
        chosen.append(np.array(order[:count], np.int64))
    return np.sort(np.concatenate(chosen))


def check(fractions: Sequence[float]) -> None:
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"a fraction is {fraction}; use shares above 0 and up to 1 (0.1 is 10%)")


def covered(train: Index, test: Index, classes: Sequence[str]) -> None:
    """Raise ValueError, naming the class, where `test` asks for one that `train` never shows, or there is only one."""
    missing = np.setdiff1d(test, train)
    if len(missing):
        raise ValueError(
            f'class "{classes[missing[0]]}" has test samples but no train sample; add some, or leave the class out'
        )
    if len(np.unique(train)) < 2:
        raise ValueError(
            f'all labels are "{classes[train[0]]}"; judging an encoder needs two classes or more'
        )


def percent(fraction: float) -> str:
    """0.01 -> "1%", as metrics spell it."""
    return f"{fraction * 100:g}%"


def _place(name: str, seed: int, draw: int) -> bytes:
    return hashlib.blake2b(f"{seed} {draw} {name}".encode(), digest_size=16).digest()
