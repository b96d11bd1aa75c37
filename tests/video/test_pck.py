"""Joints: to cells and back, and PCK against a loop over three joints and four frames."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from modalities.video.propagation.pck import correct, distances, from_maps, pixels, shares, to_maps

Points = NDArray[np.float64]


def by_loops(predicted: Points, truth: Points, alpha: float, missing: bool) -> float:
    """Mean over joints of the share of frames where the joint is near enough."""
    shares = []
    for joint in range(truth.shape[1]):
        right = counted = 0
        for t in range(1, len(truth)):
            known = [p for p in truth[t] if not math.isnan(p[0])]
            xs, ys = [p[0] for p in known], [p[1] for p in known]
            if len(known) < 2 or math.isnan(truth[t, joint, 0]):
                continue
            scale = 0.6 * math.hypot(max(xs) - min(xs), max(ys) - min(ys))
            if math.isnan(predicted[t, joint, 0]):
                counted += missing
                continue
            away = math.hypot(*(predicted[t, joint] - truth[t, joint]))
            right += away / scale <= alpha
            counted += 1
        if counted:
            shares.append(right / counted)
    return sum(shares) / len(shares)


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5])
def test_pck_is_that_of_a_loop(alpha: float, missing: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 50, (4, 3, 2))
    predicted = truth + rng.normal(0, 6, truth.shape)
    predicted[2, 1] = np.nan
    truth[3, 0] = np.nan
    found = correct(distances(predicted, truth), alpha, missing=missing)
    assert found == pytest.approx(by_loops(predicted, truth, alpha, missing))


def test_a_joint_that_is_not_found_is_wrong_or_left_out() -> None:
    truth = np.tile(np.array([[0.0, 0.0], [30.0, 40.0]]), (3, 1, 1))
    predicted = truth.copy()
    predicted[1, 0] = np.nan
    relative = distances(predicted, truth)
    assert correct(relative, 0.1, missing=True) == 0.75
    assert correct(relative, 0.1, missing=False) == 1
    predicted[2, 1] += [3.1, 0]  # a tenth of 0.6 x 50 pixels is 3
    assert correct(distances(predicted, truth), 0.1, missing=False) == 0.75


def test_frames_whose_joints_give_no_scale_do_not_count() -> None:
    truth = np.full((3, 2, 2), np.nan)
    truth[:, 0] = 5.0
    assert math.isnan(correct(distances(truth, truth), 0.1, missing=True))


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_joints_survive_cells_to_within_one(sigma: float) -> None:
    rng, size = np.random.default_rng(0), np.array([240, 320])
    joints = rng.uniform((-0.5, -0.5), (319.5, 239.5), (15, 2))
    joints[3] = np.nan
    maps = to_maps(shares(joints, size), 40, 40, sigma)
    assert not maps[3].any() and all(maps[[0, 1, 2, 4]].flatten(1).amax(1) > 0.6)
    back = pixels(from_maps(maps, peaks=1), size)
    # Cells are 6 pixels high and 8 wide: each axis is scaled by itself.
    away = np.abs(back - joints)[np.isfinite(joints.sum(1))]
    assert away[:, 0].max() <= 4 and away[:, 1].max() <= 3
    assert np.isnan(back[3]).all()


def test_the_middle_of_a_pixel_is_a_whole_number() -> None:
    size = np.array([2, 4])
    corners = np.array([[0.0, 0.0], [3.0, 1.0]])
    assert shares(corners, size).tolist() == [[0.125, 0.25], [0.875, 0.75]]
    assert pixels(shares(corners, size), size) == pytest.approx(corners)


def test_a_joint_is_the_weighted_mean_of_its_largest_cells() -> None:
    maps = torch.zeros(1, 5, 5)
    maps[0, 1, 1], maps[0, 1, 2], maps[0, 2, 1], maps[0, 4, 4] = 0.5, 0.3, 0.2, 0.1
    x = (0.5 * 1.5 + 0.3 * 2.5 + 0.2 * 1.5) / 5
    y = (0.5 * 1.5 + 0.3 * 1.5 + 0.2 * 2.5) / 5
    assert from_maps(maps, peaks=3)[0] == pytest.approx([x, y])
