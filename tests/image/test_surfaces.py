"""Losses of depth, normals and contours, each against its closed form, and labels at half the side."""

import numpy as np
import pytest
import torch

from modalities.image.shared import surfaces


def test_depth_is_scale_invariant_when_all_of_the_mean_is_taken_out() -> None:
    rng = torch.Generator().manual_seed(0)
    predicted, true = torch.randn(2, 3, 1, 6, 6, generator=rng)
    valid = torch.rand(3, 1, 6, 6, generator=rng) < 0.8
    scaled = predicted + np.log(3)
    whole = surfaces.depth_loss(predicted, true, valid, share=1.0)
    assert surfaces.depth_loss(scaled, true, valid, share=1.0).item() == pytest.approx(whole.item(), rel=1e-5)
    half = [surfaces.depth_loss(x, true, valid).item() for x in (predicted, scaled)]
    assert abs(half[0] - half[1]) > 0.1
    slow = []
    for k in range(3):
        d = [
            float(p - t)
            for p, t, v in zip(predicted[k].flatten(), true[k].flatten(), valid[k].flatten(), strict=True)
            if v
        ]
        slow.append(np.mean(np.square(d)) - 0.5 * np.mean(d) ** 2)  # minus
    assert half[0] == pytest.approx(np.mean(slow), rel=1e-5)
    assert surfaces.depth_loss(true, true, valid) == 0


@pytest.mark.parametrize(("axis", "sign", "cost"), [(0, 1, 0), (1, 1, 1), (0, -1, 2)])
def test_normals_cost_nothing_one_or_two(axis: int, sign: int, cost: float) -> None:
    true = torch.zeros(2, 3, 4, 4)
    true[:, 0] = 1
    predicted = torch.zeros(2, 3, 4, 4)
    predicted[:, axis] = sign
    valid = torch.rand(2, 1, 4, 4) < 0.7
    assert surfaces.normal_loss(predicted, true, valid).item() == pytest.approx(cost)
    assert surfaces.normal_error(predicted, true, valid).item() == pytest.approx(90 * cost, abs=1e-3)


def test_a_contour_of_one_half_has_its_closed_form() -> None:
    true = (torch.rand(4, 1, 10, 10) < 0.15).float()
    share = true.mean((1, 2, 3))
    expected = (2 * share * (1 - share) * np.log(2)).mean()
    torch.testing.assert_close(surfaces.contour_loss(torch.zeros_like(true), true), expected)
    weight = surfaces.contour_weights(true)
    for k in range(4):  # both kinds weigh the same in each image
        positives, negatives = weight[k][true[k] > 0].sum(), weight[k][true[k] == 0].sum()
        torch.testing.assert_close(positives, negatives)
        assert weight[k][true[k] > 0][0].item() == pytest.approx(1 - share[k].item())


def test_halving_takes_the_nearest_valid_pixel_and_any_contour() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 9, (3, 8, 8)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.4] = 0
    normals = rng.standard_normal((3, 8, 8, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    contour = rng.random((3, 8, 8)) < 0.2
    found = surfaces.halved(depth, normals, contour)
    for n in range(3):
        for y in range(4):
            for x in range(4):
                four = [(2 * y + a, 2 * x + b) for a in (0, 1) for b in (0, 1)]
                valid = [p for p in four if depth[n, *p] > 0]
                assert bool(found.valid[n, 0, y, x]) == bool(valid)
                assert bool(found.contour[n, 0, y, x]) == any(contour[n, *p] for p in four)
                if valid:
                    best = min(valid, key=lambda p: float(depth[n, *p]))
                    assert found.depth[n, 0, y, x].item() == pytest.approx(np.log(depth[n, *best]), rel=1e-5)
                    assert found.normals[n, :, y, x].numpy() == pytest.approx(normals[n, *best], abs=1e-5)
