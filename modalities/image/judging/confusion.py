"""One confusion matrix over a whole set of masks, and what segmentation is judged by: mean IoU and pixel accuracy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion(truth: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]], classes: int) -> Counts:
    """(K, K): how many places of class i (rows) are called j. Places whose truth is no class are not counted."""
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def mean_iou(counts: Counts) -> float:
    """Mean over the classes that truth or answers have of intersection over union, TP / (TP + FP + FN)."""
    right = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - right
    return float((right[union > 0] / union[union > 0]).mean())


def pixel_accuracy(counts: Counts) -> float:
    return float(np.trace(counts) / counts.sum())


def guessing(counts: Counts) -> tuple[float, float]:
    """Mean IoU and accuracy of the best one class for all places."""
    shares = counts.sum(1) / counts.sum()
    return float(shares.max() / np.count_nonzero(shares)), float(shares.max())
