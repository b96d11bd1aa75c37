"""Assignments: labels by the nearest centroid, and an order that sees all clusters alike."""

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch.nn import functional as F

from modalities.common.assignments import Assignments, alike


def test_the_order_has_all_clusters_alike() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0] * 50 + [2] * 3 + [5] * 30 + [6] * 21)[
        torch.randperm(104)
    ]  # 1, 3 and 4 are empty
    order = alike(labels, 104)
    assert order.shape == (104,)
    counts = torch.bincount(labels[order], minlength=7)
    assert counts[[1, 3, 4]].sum() == 0
    filled = counts[[0, 2, 5, 6]]
    assert int(filled.max() - filled.min()) <= 1
    times = torch.bincount(order, minlength=104)
    assert times[labels == 0].max() == 1 and times[labels == 5].max() == 1  # enough members: none twice
    assert times[labels == 2].sum() >= 26 and times[labels == 2].max() - times[labels == 2].min() <= 1


def test_the_order_differs_each_time_and_mixes_clusters() -> None:
    torch.manual_seed(0)
    labels = torch.arange(60) // 20
    first, second = alike(labels, 60), alike(labels, 60)
    assert not torch.equal(first, second)
    assert set(labels[first[:20]].tolist()) == {0, 1, 2}


def test_an_order_may_be_several_passes_long() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0] * 20 + [1] * 5)
    order = alike(labels, 75)
    assert abs(int((labels[order] == 0).sum()) - int((labels[order] == 1).sum())) <= 1
    assert (torch.bincount(order, minlength=25) > 0).all()


@pytest.mark.parametrize("spherical", [False, True])
def test_labels_are_the_nearest_centroids(spherical: bool) -> None:
    torch.manual_seed(0)
    points = [F.normalize(torch.randn(300, 6), dim=1) for _ in range(2)]
    assigned = Assignments(2, 300, 7)
    centroids = assigned.renew(points, iterations=5, spherical=spherical)
    assert centroids.shape == (2, 7, 6)
    for k, mine in enumerate(points):
        for i in torch.randperm(300)[:100].tolist():
            away = [float((mine[i] - c).norm()) for c in centroids[k]]
            assert away[int(assigned.labels[k, i])] == pytest.approx(min(away), abs=1e-6)


def test_how_it_went_is_kept() -> None:
    torch.manual_seed(0)
    points = torch.randn(3, 4).repeat_interleave(torch.tensor([10, 20, 30]), 0)
    assigned = Assignments(1, 60, 5)
    assigned.renew([points], iterations=8, spherical=False)
    first = {name: float(value) for name, value in assigned.metrics().items()}
    sizes = torch.bincount(assigned.labels[0], minlength=5)
    assert first["nmi"] == pytest.approx(0, abs=1e-6)  # against labels of 0, which say nothing
    assert first["empty"] == int((sizes == 0).sum()) >= 2  # three places for five clusters
    assert first["biggest"] == pytest.approx(float(sizes.max()) / 60)
    before = assigned.labels[0].clone()
    assigned.renew([points], iterations=8, spherical=False)
    expected = normalized_mutual_info_score(before, assigned.labels[0])
    assert float(assigned.metrics()["nmi"]) == pytest.approx(expected, abs=1e-6)
