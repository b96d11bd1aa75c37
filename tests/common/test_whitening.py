"""Whitening: no two directions correlated, all as wide, the main ones first."""

import numpy as np
import pytest
import torch

from modalities.common.whitening import whitened


def vectors(count: int, dim: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(0)
    mixed = torch.randn(count, dim, generator=made) @ torch.randn(dim, dim, generator=made)
    return mixed + torch.arange(float(dim)) * 10


@pytest.mark.parametrize("components", [1, 4, 8])
def test_the_covariance_is_the_identity(components: int) -> None:
    found = whitened(vectors(500, 8), components)
    torch.testing.assert_close(torch.cov(found.T), torch.eye(components).squeeze(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.mean(0), torch.zeros(components), atol=1e-4, rtol=0)


def test_it_equals_numpys_svd_up_to_sign() -> None:
    x = vectors(300, 6)
    centred = x.numpy().astype(np.float64) - x.numpy().astype(np.float64).mean(0)
    u, _, _ = np.linalg.svd(centred, full_matrices=False)
    expected, found = u[:, :4] * np.sqrt(299), whitened(x, 4).numpy()
    np.testing.assert_allclose(found * np.sign((found * expected).sum(0)), expected, atol=2e-3)


def test_directions_without_variance_are_left_out() -> None:
    narrow = vectors(50, 3)
    wide = torch.cat([narrow, narrow.sum(1, keepdim=True), torch.ones(50, 2)], 1)
    assert whitened(wide, 6).shape == (50, 3)
    assert whitened(vectors(5, 8), 8).shape == (5, 4)


def test_vectors_that_are_all_the_same_become_zeros() -> None:
    assert torch.equal(whitened(torch.full((4, 3), 0.1), 3), torch.zeros(4, 1))
