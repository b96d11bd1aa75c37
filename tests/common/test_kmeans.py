"""k-means: Lloyd's iterations as a slow loop does them, and no cluster left empty."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor
from torch.nn import functional as F

from modalities.common import kmeans as module
from modalities.common.kmeans import kmeans, normalised_information


def cloud(count: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def slow(
    points: np.ndarray, start: np.ndarray, iterations: int, spherical: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One point and one centroid at a time, float64; for starts that leave no cluster empty."""
    centroids = start.astype(np.float64)
    for step in range(iterations + 1):
        labels = np.array([np.argmin([((x - c) ** 2).sum() for c in centroids]) for x in points])
        if step < iterations:
            centroids = np.stack([points[labels == k].mean(0) for k in range(len(centroids))])
            if spherical:
                centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return centroids, labels


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("at_once", [1, 7 * 6, 2**20])
def test_it_equals_a_slow_loop_from_the_same_start(
    spherical: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    points = F.normalize(cloud(80, 4), dim=1)
    found = kmeans(points, points[:6], iterations=5, spherical=spherical)
    centroids, labels = slow(points.numpy().astype(np.float64), points[:6].numpy(), 5, spherical)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.centroids, centroids, atol=1e-5)
    own = ((points - found.centroids[found.labels]) ** 2).sum()
    assert found.inertia[-1] == pytest.approx(float(own), rel=1e-5)


def test_inertia_never_rises() -> None:
    points = cloud(400, 8)
    inertia = kmeans(points, points[:12], iterations=20, spherical=False).inertia
    assert len(inertia) == 21
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(inertia))
    assert inertia[-1] < inertia[0]


@pytest.mark.parametrize("spherical", [False, True])
def test_clusters_that_nobody_is_near_to_are_filled(spherical: bool) -> None:
    groups = 20 * F.normalize(cloud(3, 6, seed=1), dim=1)
    points = torch.cat([group + 0.3 * cloud(10, 6, seed=k) for k, group in enumerate(groups)])
    far = -100 * torch.ones(2, 6) - cloud(2, 6)
    start = torch.cat([points[[0, 10, 20]], far])
    if spherical:
        points, start = F.normalize(points, dim=1), F.normalize(start, dim=1)
    found = kmeans(points, start, iterations=20, spherical=spherical)
    assert (torch.bincount(found.labels, minlength=5) > 0).all()
    if spherical:
        torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(5))


def test_points_that_are_all_the_same_give_numbers() -> None:
    found = kmeans(torch.zeros(8, 3), torch.zeros(4, 3), iterations=3, spherical=True)
    assert torch.isfinite(found.centroids).all() and found.inertia[-1] == 0


@pytest.mark.parametrize("other", ["same", "renamed", "random", "coarser"])
def test_agreement_is_scikit_learns(other: str) -> None:
    first = torch.randint(5, (200,), generator=torch.Generator().manual_seed(0))
    second = {
        "same": first,
        "renamed": (first + 3) % 5,
        "random": torch.randint(5, (200,), generator=torch.Generator().manual_seed(1)),
        "coarser": first // 2,
    }[other]
    expected = normalized_mutual_info_score(first, second)
    assert normalised_information(first, second) == pytest.approx(expected, abs=1e-9)


def test_agreement_of_single_clusters() -> None:
    one, many = torch.zeros(6, dtype=torch.long), torch.arange(6)
    assert normalised_information(one, one) == 1
    assert normalised_information(one, many) == pytest.approx(0)
