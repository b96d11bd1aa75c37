"""Region and boundary measures of masks, J and F, as the DAVIS challenges count them.

Perazzi et al. 2016 and Pont-Tuset et al. 2017, arXiv:1704.00675. T frames of H x W pixels, one object.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
TOLERANCE = 0.008  # of a boundary, as a share of the picture's diagonal
BINS = 4  # of time, the first and last of which say how a measure decays


class Summary(NamedTuple):
    """One object's measure over time."""

    mean: float
    recall: float  # share of the frames where it is above a half
    decay: float  # how much less it is in the last quarter than in the first


def region(predicted: Mask, truth: Mask) -> Values:
    """J, (T,): intersection over union of (T, H, W); 1 where both are empty."""
    union = (predicted | truth).sum((1, 2))
    both = (predicted & truth).sum((1, 2))
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def contour(predicted: Mask, truth: Mask) -> Values:
    """F, (T,): harmonic mean of precision and recall of boundary pixels, which may lie the tolerance apart."""
    radius = math.ceil(TOLERANCE * math.hypot(*truth.shape[1:]))
    mine, theirs = boundary(predicted), boundary(truth)
    precision, recall = share(mine, widened(theirs, radius)), share(theirs, widened(mine, radius))
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1.0)


def boundary(masks: Mask) -> Mask:
    """(T, H, W): pixels unlike their neighbour to the east, south or south-east, as far as they have one."""
    found = np.zeros_like(masks)
    found[:, :, :-1] |= masks[:, :, :-1] ^ masks[:, :, 1:]
    found[:, :-1] |= masks[:, :-1] ^ masks[:, 1:]
    found[:, :-1, :-1] |= masks[:, :-1, :-1] ^ masks[:, 1:, 1:]
    return found


def widened(masks: Mask, radius: int) -> Mask:
    """(T, H, W): pixels whose centre is at most `radius` from that of one in the mask."""
    import cv2

    across = np.arange(-radius, radius + 1)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.uint8)
    return np.stack([cv2.dilate(mask.astype(np.uint8), disk) for mask in masks]).astype(bool)


def share(masks: Mask, near: Mask) -> Values:
    """(T,): how much of each mask lies in the other one; all of it where it is empty."""
    size = masks.sum((1, 2))
    return np.where(size > 0, (masks & near).sum((1, 2)) / np.maximum(size, 1), 1.0)


def summary(values: Values) -> Summary:
    """Of one object's J or F in the frames that count, which leave out the first and the last of the video.

    Quarters share the frame at their edge, as in the official code; that keeps frame numbers in 8 bits, which is
    wrong from 256 frames on and not done here.
    """
    edges = np.round(np.linspace(1, len(values), BINS + 1) + 1e-10).astype(np.int64) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[-2] : edges[-1] + 1]
    return Summary(float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean()))
