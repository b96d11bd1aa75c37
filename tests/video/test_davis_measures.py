"""J and F: the official arithmetic, redone pixel by pixel and with scipy's dilation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from modalities.video.propagation.davis_measures import boundary, contour, region, summary, widened

Mask = NDArray[np.bool_]


def blobs(seed: int, count: int, height: int, width: int) -> Mask:
    """Rough shapes: smoothed noise above its mean."""
    noise = np.random.default_rng(seed).normal(size=(count, height, width))
    return np.stack([ndimage.gaussian_filter(frame, 2) > 0 for frame in noise])


def slow_boundary(mask: Mask) -> Mask:
    """`seg2bmap` as the challenge's code states it."""
    height, width = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            east = mask[y, min(x + 1, width - 1)]
            south = mask[min(y + 1, height - 1), x]
            both = mask[min(y + 1, height - 1), min(x + 1, width - 1)]
            if y == height - 1 and x == width - 1:
                found[y, x] = False
            elif y == height - 1:
                found[y, x] = mask[y, x] != east
            elif x == width - 1:
                found[y, x] = mask[y, x] != south
            else:
                found[y, x] = mask[y, x] != east or mask[y, x] != south or mask[y, x] != both
    return found


def slow_contour(predicted: Mask, truth: Mask) -> float:
    mine, theirs = slow_boundary(predicted), slow_boundary(truth)
    radius = math.ceil(0.008 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = x * x + y * y <= radius * radius
    if not mine.any() and theirs.any():
        precision, recall = 1.0, 0.0
    elif mine.any() and not theirs.any():
        precision, recall = 0.0, 1.0
    elif not mine.any() and not theirs.any():
        precision, recall = 1.0, 1.0
    else:
        precision = (mine & ndimage.binary_dilation(theirs, disk)).sum() / mine.sum()
        recall = (theirs & ndimage.binary_dilation(mine, disk)).sum() / theirs.sum()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def slow_region(predicted: Mask, truth: Mask) -> float:
    one, other = set(zip(*np.nonzero(predicted), strict=True)), set(zip(*np.nonzero(truth), strict=True))
    return len(one & other) / len(one | other) if one | other else 1.0


# The larger picture has a tolerance of two pixels, the smaller of one.
@pytest.mark.parametrize("size", [(24, 30), (110, 130)])
def test_measures_are_those_of_the_second_computation(size: tuple[int, int]) -> None:
    predicted, truth = blobs(0, 6, *size), blobs(1, 6, *size)
    predicted[1] = np.roll(truth[1], 1, 1)
    predicted[2] = truth[2]
    predicted[3] = False
    truth[4] = False
    predicted[5] = truth[5] = False
    assert region(predicted, truth) == pytest.approx(list(map(slow_region, predicted, truth)))
    assert contour(predicted, truth) == pytest.approx(list(map(slow_contour, predicted, truth)))
    assert region(predicted, truth)[[2, 3, 4, 5]].tolist() == [1, 0, 0, 1]
    assert contour(predicted, truth)[[2, 3, 4, 5]].tolist() == [1, 0, 0, 1]


def test_boundaries_and_dilation_are_those_of_the_second_computation() -> None:
    masks = blobs(2, 4, 17, 23)
    assert np.array_equal(boundary(masks), np.stack(list(map(slow_boundary, masks))))
    for radius in (1, 2, 5):
        y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        disk = x * x + y * y <= radius * radius
        assert np.array_equal(
            widened(masks, radius), np.stack([ndimage.binary_dilation(m, disk) for m in masks])
        )


def test_a_mask_that_slips_by_its_tolerance_keeps_its_contour_and_not_its_region() -> None:
    truth = np.zeros((1, 60, 60), bool)
    truth[0, 20:40, 20:40] = True
    assert contour(np.roll(truth, 1, 2), truth)[0] == 1  # the tolerance is one pixel
    assert region(np.roll(truth, 1, 2), truth)[0] == pytest.approx(19 / 21)
    assert contour(np.roll(truth, 10, 2), truth)[0] < 0.7


def test_recall_and_decay_over_more_frames_than_a_byte_counts() -> None:
    values = np.linspace(1, 0, 401)
    found = summary(values)
    assert found.mean == pytest.approx(0.5)
    assert found.recall == pytest.approx(200 / 401)
    # Quarters of 401 frames meet at 100, 200 and 300, and share those frames.
    assert found.decay == pytest.approx(values[:101].mean() - values[300:].mean())
    short = summary(np.array([1.0, 0.5, 0.25, 0.0]))
    # linspace(1, 4, 5) rounds to 1, 2, 2, 3, 4: the quarters are frames 1-2 and 3-4.
    assert short.decay == pytest.approx((1 + 0.5) / 2 - (0.25 + 0) / 2)
    assert summary(np.array([0.7])).decay == 0
