"""Sinkhorn: the slow loop's codes, balanced, and at the limit the best assignment that there is."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from modalities.common.sinkhorn import sinkhorn


def cosines(samples: int, clusters: int, seed: int = 0) -> Tensor:
    return torch.rand(samples, clusters, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def slow(scores: Tensor, epsilon: float, rounds: int) -> np.ndarray:
    """The paper's listing, in float64: rows are clusters."""
    q = np.exp(scores.numpy().astype(np.float64) / epsilon).T
    q /= q.sum()
    for _ in range(rounds):
        for row in q:
            row /= row.sum() * len(q)
        for column in q.T:
            column /= column.sum() * q.shape[1]
    codes: np.ndarray = (q * q.shape[1]).T
    return codes


@pytest.mark.parametrize(("samples", "clusters"), [(12, 5), (6, 20)])
@pytest.mark.parametrize("rounds", [1, 3])
def test_it_equals_the_papers_loop(samples: int, clusters: int, rounds: int) -> None:
    scores = cosines(samples, clusters)
    found = sinkhorn(scores, epsilon=0.05, rounds=rounds, counted=torch.ones(samples))
    np.testing.assert_allclose(found, slow(scores, 0.05, rounds), rtol=1e-4, atol=1e-6)


def test_after_many_rounds_all_clusters_and_all_samples_have_their_share() -> None:
    codes = sinkhorn(cosines(24, 7), epsilon=0.05, rounds=200, counted=torch.ones(24)) / 24
    torch.testing.assert_close(codes.sum(0), torch.full((7,), 1 / 7), atol=1e-6, rtol=0)
    torch.testing.assert_close(codes.sum(1), torch.full((24,), 1 / 24), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hard_codes_are_the_best_assignment(seed: int) -> None:
    scores = cosines(9, 9, seed)
    codes = sinkhorn(scores, epsilon=0.001, rounds=5000, counted=torch.ones(9))
    rows, columns = linear_sum_assignment(-scores.numpy())
    np.testing.assert_array_equal(codes.argmax(1).numpy()[rows], columns)
    assert float(codes.max(1).values.min()) > 0.9


def test_scores_that_overflow_half_precision_do_not_overflow() -> None:
    scores = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with torch.autocast("cpu", torch.bfloat16):
        codes = sinkhorn(scores, epsilon=0.005, rounds=3, counted=torch.ones(2))
    torch.testing.assert_close(codes, torch.eye(2))


def test_samples_that_do_not_count_change_nothing() -> None:
    scores, counted = cosines(10, 4), torch.tensor([1.0] * 6 + [0.0] * 4)
    alone = sinkhorn(scores[:6], epsilon=0.05, rounds=3, counted=torch.ones(6))
    found = sinkhorn(scores, epsilon=0.05, rounds=3, counted=counted)
    torch.testing.assert_close(found[:6], alone)
    assert torch.isfinite(found).all()
