"""Propagation: labels are those of loops over cells, and exact where features tell all points of a scene apart."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.video.propagation import affinity
from modalities.video.propagation.affinity import propagate, spread, strip

SETTINGS = {"context": 2, "top": 5, "radius": 2.0, "temperature": 0.2}


def drawn(frames: int, channels: int, height: int, width: int, labels: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    features = F.normalize(torch.randn(frames, channels, height, width, dtype=torch.float64), dim=1)
    return features, torch.rand(labels, height, width, dtype=torch.float64)


def by_loops(
    features: Tensor, first: Tensor, *, context: int, top: int, radius: float, temperature: float
) -> Tensor:
    """The definition, one cell at a time."""
    frames, _, height, width = features.shape
    found = [first]
    for t in range(1, frames):
        label = torch.zeros_like(first)
        for y in range(height):
            for x in range(width):
                keys = []  # (score, label)
                for s in sorted({0, *range(max(0, t - context), t)}):
                    for v in range(height):
                        for u in range(width):
                            if s == 0 or math.hypot(v - y, u - x) <= radius:
                                score = float((features[t, :, y, x] * features[s, :, v, u]).sum())
                                keys.append((score, found[s][:, v, u]))
                best = sorted(keys, key=lambda key: -key[0])[:top]
                weights = [math.exp(score / temperature) for score, _ in best]
                label[:, y, x] = sum(
                    (weight / sum(weights) * value for weight, (_, value) in zip(weights, best, strict=True)),
                    torch.zeros(len(first), dtype=first.dtype),
                )
        found.append(label)
    return torch.stack(found)


@pytest.mark.parametrize("changes", [{}, {"context": 0}, {"context": 20, "top": 500, "radius": 1.5}])
def test_labels_are_those_of_loops_over_cells(changes: dict[str, int]) -> None:
    features, first = drawn(5, 8, 6, 6, 3)
    settings = SETTINGS | changes
    torch.testing.assert_close(propagate(features, first, **settings), by_loops(features, first, **settings))  # type: ignore[arg-type]


def test_strips_that_fit_into_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, first = drawn(5, 8, 6, 5, 3)
    whole = propagate(features, first, **SETTINGS)  # type: ignore[arg-type]
    assert strip(6, 5, 2.0, 2) == 6
    monkeypatch.setattr(affinity, "SCORES", 2 * 5 * 5 * (6 + 2 * 6))
    assert strip(6, 5, 2.0, 2) == 2
    torch.testing.assert_close(propagate(features, first, **SETTINGS), whole)  # type: ignore[arg-type]


def test_a_feature_of_its_own_for_each_point_of_a_scene_carries_labels_without_loss() -> None:
    # A scene of 6 x 6 one-hot cells that moves right by one cell a frame and comes in again on the left.
    cells = torch.eye(36).view(36, 6, 6)
    features = torch.stack([cells.roll(t, 2) for t in range(6)])
    first = (torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    found = propagate(features, first, context=20, top=1, radius=12, temperature=0.05)
    assert torch.equal(found, torch.stack([first.roll(t, 2) for t in range(6)]))


def test_a_small_radius_holds_back_recent_frames_and_not_frame_0() -> None:
    cells = torch.eye(36).view(36, 6, 6)
    features = torch.stack([cells, cells.roll(3, 2), cells.roll(3, 2)])
    first = torch.zeros(1, 6, 6)
    first[0, 2, 1] = 1
    # The jump of three cells is beyond the radius: frame 0 alone can be pointed at, and all of it can.
    found = propagate(features, first, context=5, top=1, radius=1, temperature=0.05)
    assert torch.equal(found[1], first.roll(3, 2)) and torch.equal(found[2], first.roll(3, 2))


def test_the_temperature_divides_once() -> None:
    features = torch.zeros(2, 2, 1, 2)
    features[0, :, 0, 0], features[0, :, 0, 1] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    features[1, 0] = 1
    found = propagate(features, torch.tensor([[[1.0, 0.0]]]), context=1, top=2, radius=9, temperature=0.5)
    weight = math.exp(2) / (math.exp(2) + 1)
    assert found[1].flatten().tolist() == pytest.approx([weight, weight])


def test_a_cell_holds_the_share_of_it_that_a_mask_covers() -> None:
    masks = (torch.rand(2, 7, 10, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    # Every pixel as 3 x 4 small ones makes cells whole numbers of them.
    fine = masks.repeat_interleave(3, 1).repeat_interleave(4, 2)
    expected = fine.view(2, 3, 7, 4, 10).mean((2, 4))
    torch.testing.assert_close(spread(masks, 3, 4), expected)
