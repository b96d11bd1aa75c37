"""Patch search: features that are the pixels find what normalised cross-correlation finds."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.video.propagation.search import astray, correlated, nearest, overlap, places, windows


def texture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def centred_pixels(x: Tensor) -> Tensor:
    """Cosines of these are normalised cross-correlations."""
    return (x - x.mean((2, 3), keepdim=True)).flatten(1)


def test_the_nearest_window_by_pixels_is_the_best_correlated_of_the_grid() -> None:
    for seed in range(5):
        start, end = texture(seed, 40, 50), texture(seed + 100, 40, 50)
        box = np.array([9.0, 12.0, 16.0, 24.0])
        found = nearest(centred_pixels, start, box, end)
        scores = cv2.matchTemplate(end, start[9:25, 12:36], cv2.TM_CCOEFF_NORMED)
        ys, xs = places(40, 16, 2), places(50, 24, 3)
        y, x = np.unravel_index(scores[np.ix_(ys, xs)].argmax(), (len(ys), len(xs)))
        assert found.tolist() == [ys[y], xs[x], 16, 24]


def test_a_patch_that_moved_is_found_by_both() -> None:
    start, end = texture(0, 48, 64), texture(1, 48, 64)
    end[8:40, 28:60] = start[4:36, 12:44]
    box, truth = np.array([4.0, 12.0, 32.0, 32.0]), np.array([8.0, 28.0, 32.0, 32.0])
    assert correlated(start, box, end).tolist() == truth.tolist()
    assert nearest(centred_pixels, start, box, end).tolist() == truth.tolist()


def test_a_flat_patch_is_looked_for_without_failing() -> None:
    start = np.zeros((40, 40, 3), np.uint8)
    assert correlated(start, np.array([0.0, 0.0, 16.0, 16.0]), texture(0, 40, 40)).shape == (4,)


def test_the_grid_reaches_the_far_edge() -> None:
    assert places(50, 24, 3).tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24, 26]
    assert places(24, 24, 3).tolist() == [0]
    frame = texture(0, 20, 30)
    assert np.array_equal(windows(frame, 8, 8)[3, 5], frame[3:11, 5:13].transpose(2, 0, 1))


def test_boxes_at_the_border_are_moved_inside_and_large_ones_refused() -> None:
    start, end = texture(0, 40, 40), texture(1, 40, 40)
    assert correlated(start, np.array([30.0, -3.0, 16.0, 16.0]), start).tolist() == [24, 0, 16, 16]
    with pytest.raises(ValueError, match="does not fit"):
        nearest(centred_pixels, start, np.array([0.0, 0.0, 10.0, 50.0]), end)


def test_overlap_and_distance_of_boxes() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]] * 3)
    found = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0], [30.0, 40.0, 10.0, 10.0]])
    assert overlap(found, truth) == pytest.approx([1, 50 / 150, 0])
    assert astray(found, truth) == pytest.approx([0, 0.5, 5])
    assert torch.tensor(astray(found, truth)).shape == (3,)
