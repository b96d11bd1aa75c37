"""AMDIM's loss equals a slow loop, keeps an image's own places out of its negatives, and bounds its scores."""

import math

import numpy as np
import pytest
import torch

from modalities.common.clipped_nce import LocalHead, clipped, clipped_nce
from modalities.common.info_nce import batch_info_nce


def drawn(n: int, dim: int, places: int, size: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n + dim)
    return (
        torch.randn(n, dim, generator=generator) * size,
        torch.randn(n, dim, places, generator=generator) * size,
    )


@pytest.mark.parametrize("clip", [0.0, 2.0, 20.0])
def test_the_loss_equals_a_slow_loop(clip: float) -> None:
    n, dim, places = 4, 5, 9
    source, targets = drawn(n, dim, places, 2.0)
    a, b = source.double().numpy(), targets.double().numpy()

    def score(i: int, j: int, at: int) -> float:
        found = float(a[i] @ b[j, :, at]) / math.sqrt(dim)
        return clip * math.tanh(found / clip) if clip else found

    losses, hits, squares = [], [], []
    for i in range(n):
        others = [score(i, j, at) for j in range(n) if j != i for at in range(places)]
        squares += [
            (float(a[i] @ b[j, :, at]) / math.sqrt(dim)) ** 2 for j in range(n) for at in range(places)
        ]
        for at in range(places):
            positive = score(i, i, at)
            below = math.exp(positive) + sum(math.exp(s) for s in others)
            losses.append(-math.log(math.exp(positive) / below))
            hits.append(positive > max(others))
    loss, square, accuracy, chance = clipped_nce(source, targets, clip)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(square) == pytest.approx(np.mean(squares), rel=1e-5)
    assert float(accuracy) == pytest.approx(np.mean(hits))
    assert chance == pytest.approx(1 / (1 + 3 * places))


def test_an_image_alone_has_no_negatives_and_costs_nothing() -> None:
    source, targets = drawn(1, 5, 9)
    source.requires_grad_()
    loss, _, accuracy, chance = clipped_nce(source, targets, 20.0)
    assert loss.detach() == 0 and accuracy == 1 and chance == 1
    assert not torch.autograd.grad(loss, source)[0].any()


def test_other_places_of_the_same_image_are_no_negatives() -> None:
    """Where one place of an image is found at once, only its own softmax changes."""
    source, targets = drawn(3, 4, 5)
    source[1:] = 0  # so that these two find nothing, whatever the targets are
    strong = targets.clone()
    strong[0, :, 0] = source[0] * 20
    before, after = (clipped_nce(source, x, 0.0)[0] * 15 for x in (targets, strong))
    scores = torch.einsum("d,mdl->ml", source[0], targets) / 2
    alone = [
        math.log1p(float(scores[1:].exp().sum() / s.exp()))
        for s in (scores[0, 0], source[0] @ strong[0, :, 0] / 2)
    ]
    assert float(after - before) == pytest.approx(alone[1] - alone[0], rel=1e-4)


@pytest.mark.parametrize("clip", [5.0, 20.0])
def test_scores_stay_below_the_clip_and_huge_ones_overflow_nowhere(clip: float) -> None:
    scores = torch.linspace(-1e4, 1e4, 101)
    assert clipped(scores, clip).abs().max() <= clip
    assert (clipped(scores, clip).diff() >= 0).all() and clipped(torch.zeros(1), clip) == 0
    torch.testing.assert_close(clipped(torch.tensor([0.01]), clip), torch.tensor([0.01]))
    assert torch.equal(clipped(scores, 0.0), scores)
    source, targets = drawn(4, 6, 3, 1e3)
    for value in (clip, 0.0):
        assert torch.isfinite(clipped_nce(source, targets, value)[0])


def test_without_clip_and_with_one_place_it_is_one_sided_info_nce() -> None:
    source, targets = drawn(8, 16, 1)
    loss, _, accuracy, _ = clipped_nce(source, targets, 0.0)
    expected, right = batch_info_nce(source, targets[:, :, 0], math.sqrt(16))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(accuracy, right)


@pytest.mark.parametrize(("narrow", "dim"), [(4, 6), (6, 4)])
def test_the_head_starts_near_the_identity(narrow: int, dim: int) -> None:
    torch.manual_seed(0)
    head = LocalHead(narrow, dim).eval()
    x = torch.randn(3, narrow, 5, 5)
    found, both = head(x), min(narrow, dim)
    assert found.shape == (3, dim, 5, 5)
    assert (found[:, :both] - x[:, :both]).abs().max() < 0.2
    assert not head.branch(x).any()
