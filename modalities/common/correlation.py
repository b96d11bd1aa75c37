"""Correlation of two lists of numbers: of the numbers themselves, or of their ranks."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def pearson(first: Numbers, second: Numbers) -> float:
    """-1 to 1; 0 where one of them is constant, since it then tells nothing of the other."""
    a, b = first - first.mean(), second - second.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    # What is left of a constant after its mean is rounding.
    constant = np.ptp(first) == 0 or np.ptp(second) == 0
    return 0.0 if constant else float(a @ b) / length


def spearman(first: Numbers, second: Numbers) -> float:
    """Pearson's of the ranks; equal numbers share the mean of their ranks."""
    return pearson(ranks(first), ranks(second))


def ranks(numbers: Numbers) -> Numbers:
    """(n,), 1 for the smallest; of equal numbers the mean of the ranks that they take up."""
    _, which, count = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: Numbers = (last - (count - 1) / 2)[which]
    return found
