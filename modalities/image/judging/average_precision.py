"""Average precision of a ranking, in the three ways the field computes it, and its mean over classes.

`step` is the area under the steps of precision over recall, as scikit-learn and torchmetrics have it; `area` lifts
each precision to the best at a higher recall, as Pascal VOC from 2010 on and COCO; `points11` is VOC 2007's mean over
the recalls 0, .1 ... 1. On one ranking they differ by up to several points: never set them beside each other.
N pictures, K classes.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["step", "area", "points11"]
Scores = NDArray[np.floating[Any]]


def average_precision(scores: Scores, shown: NDArray[np.bool_], kind: Kind) -> float:
    """Of one class: (N,) scores, and which of the pictures show it. Equal scores are one step.

    Raises ValueError where none shows it, since then there is nothing to find.
    """
    if not shown.any():
        raise ValueError("average precision needs a sample that shows the class")
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last of each equal score
    hits = np.cumsum(shown[order])[ends]
    precision, recall = hits / (ends + 1), hits / shown.sum()
    if kind != "step":
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    if kind == "points11":
        return float(np.mean([precision[recall >= tenth / 10 - 1e-12].max(initial=0) for tenth in range(11)]))
    return float((np.diff(recall, prepend=0) * precision).sum())


def judged(targets: NDArray[np.int8]) -> Iterable[tuple[int, NDArray[np.int64]]]:
    """(class, rows that are judged) of each class that some row of (N, K) shows; -1 is not judged."""
    for kind in range(targets.shape[1]):
        rows = np.flatnonzero(targets[:, kind] >= 0)
        if (targets[rows, kind] == 1).any():
            yield kind, rows
