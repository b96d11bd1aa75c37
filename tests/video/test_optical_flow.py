"""Flow warping: a textured scene that slides takes its masks and its joints with it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from modalities.video.propagation.davis_measures import region
from modalities.video.propagation.optical_flow import carry_labels, carry_points, flows


def sliding(frames: int = 6, step: int = 2, side: int = 64) -> NDArray[np.uint8]:
    """(T, S, S, 3): a window that moves left over a wide texture, so the scene moves right."""
    noise = np.random.default_rng(0).integers(0, 255, (side, side + frames * step + 8, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (7, 7), 2)
    texture = np.asarray(cv2.normalize(smooth, np.empty(0), 0, 255, cv2.NORM_MINMAX), np.uint8)
    starts = [frames * step - t * step for t in range(frames)]
    return np.stack([texture[:, start : start + side] for start in starts])


def test_a_mask_moves_with_the_scene() -> None:
    frames = sliding()
    first = np.zeros((64, 64), np.uint8)
    first[20:44, 10:34] = 3
    found = carry_labels(first, flows(frames, back=True))
    truth = np.stack([np.roll(first, 2 * t, 1) for t in range(6)])
    assert np.array_equal(found[0], first)
    assert region(found == 3, truth == 3).min() > 0.9
    assert (
        region(np.repeat(first[None], 6, 0) == 3, truth == 3)[-1] < 0.5
    )  # staying where it was is not enough


def test_joints_move_with_the_scene() -> None:
    joints = np.array([[12.5, 20.5], [30.0, 40.0], [np.nan, np.nan]])
    found = carry_points(joints, flows(sliding(), back=False))
    truth = joints + np.array([2.0, 0.0]) * np.arange(6)[:, None, None]
    assert np.abs(found - truth)[:, :2].max() < 1
    assert np.isnan(found[:, 2]).all()


def test_places_are_carried_exactly_where_flow_is_whole() -> None:
    back = np.zeros((3, 20, 20, 2), np.float32)
    back[..., 0], back[..., 1] = -2, 1  # each pixel came from two to the left, one below
    first = np.arange(400, dtype=np.uint8).reshape(20, 20) % 7
    found = carry_labels(first, back)
    for t in range(4):
        assert np.array_equal(found[t][: 20 - t, 2 * t :], first[t:, : 20 - 2 * t])


def test_masks_larger_than_the_frames_move_as_far_in_the_scene() -> None:
    back = np.zeros((2, 20, 30, 2), np.float32)
    back[..., 0], back[..., 1] = -2, 1
    first = np.zeros((40, 90), np.uint8)
    first[10:20, 30:60] = 1
    found = carry_labels(first, back)
    assert np.array_equal(found[2], np.roll(first, (-4, 12), (0, 1)))


def test_frames_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="16 pixels a side"):
        flows(np.zeros((2, 12, 40, 3), np.uint8), back=True)
