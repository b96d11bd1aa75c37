"""Spread and rank: known answers, and a second computation."""

import math

import numpy as np
import pytest
import torch

from modalities.common.health import effective_rank, spread


@pytest.mark.parametrize("k", [1, 3, 8])
def test_k_equal_orthogonal_directions_have_rank_k(k: int) -> None:
    assert effective_rank(torch.eye(8)[:k].repeat(4, 1)) == pytest.approx(k, rel=1e-3)


def test_rank_equals_that_of_eigenvalues_in_float64() -> None:
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    sizes = np.sqrt(np.linalg.eigvalsh(x.double().numpy().T @ x.double().numpy()))
    share = sizes / sizes.sum() + 1e-7
    assert effective_rank(x) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-4)


def test_spread_of_a_collapse_is_nothing_and_of_a_sphere_near_one_over_the_root() -> None:
    assert spread(torch.ones(10, 4)) == 0
    sphere = torch.randn(5000, 64, generator=torch.Generator().manual_seed(0))
    assert spread(sphere) == pytest.approx(1 / 8, rel=0.02)
