"""k-means on the device in float32, and how much two clusterings agree.

Lloyd's iterations with the rule of faiss (Johnson, Douze and Jegou 2017, arXiv:1702.08734) for clusters that ran empty.
Sums are matrix products and not scattered additions, whose order on a GPU would differ from run to run.
N points, K clusters, P dimensions.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

AT_ONCE = 2**24  # distances held at one time
SPLIT = 1 / 1024  # relative distance of the two halves of a cluster that was split, as in faiss


class Clusters(NamedTuple):
    centroids: Tensor  # (K, P)
    labels: Tensor  # (N,), the nearest centroid of each point
    inertia: list[float]  # sum of squared distances to it, at the start and after every iteration


@torch.no_grad()
def kmeans(points: Tensor, start: Tensor, *, iterations: int, spherical: bool) -> Clusters:
    """Cluster points (N, P) from centroids `start`, (K, P); with `spherical` both are of unit length, and stay so."""
    points, centroids = points.float(), start.float().clone()
    labels, inertia = _assign(points, centroids)
    history = [inertia]
    for _ in range(iterations):
        sums, sizes = _sums(points, labels, len(centroids))
        centroids = sums / sizes.clamp_min(1).unsqueeze(1)
        _refill(centroids, sizes)
        if spherical:
            centroids = F.normalize(centroids, dim=1)
        labels, inertia = _assign(points, centroids)
        history.append(inertia)
    return Clusters(centroids, labels, history)


def _portions(points: Tensor, count: int) -> Iterator[Tensor]:
    yield from torch.split(points, max(1, AT_ONCE // count))


def _assign(points: Tensor, centroids: Tensor) -> tuple[Tensor, float]:
    half = centroids.square().sum(1) / 2  # |x - c|² = |x|² + 2 (|c|²/2 - x·c)
    labels = torch.cat([
        (half - part @ centroids.T).argmin(1) for part in _portions(points, len(centroids))
    ])  # fmt: skip
    return labels, float((points - centroids[labels]).square().sum(1).double().sum())


def _sums(points: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of the points of each cluster the sum, (K, P), and the number, (K,)."""
    sums, done = points.new_zeros(count, points.shape[1]), 0
    for part in _portions(points, count):
        mine = labels[done : done + len(part)].unsqueeze(1)
        sums += points.new_zeros(len(part), count).scatter_(1, mine, 1.0).T @ part
        done += len(part)
    return sums, torch.bincount(labels, minlength=count)


def _refill(centroids: Tensor, sizes: Tensor) -> None:
    """Give each empty cluster half of the one that is the largest by then: two copies, a little apart."""
    left = sizes.tolist()
    apart = torch.full_like(centroids[0], SPLIT)
    apart[1::2] *= -1
    for empty in [k for k, size in enumerate(left) if not size]:
        largest = max(range(len(left)), key=left.__getitem__)
        centroids[empty] = centroids[largest] * (1 + apart)
        centroids[largest] *= 1 - apart
        left[empty] = left[largest] // 2
        left[largest] -= left[empty]


def normalised_information(first: Tensor, second: Tensor) -> float:
    """What two labellings, (N,) each, tell of each other: 0 nothing, 1 all, over the mean of their entropies.

    Two labellings of one cluster each agree: 1.
    """
    pairs = torch.stack([first, second], 1)
    one, other = _entropy(first), _entropy(second)
    if one + other == 0:
        return 1.0
    return 2 * max(0.0, one + other - _entropy(pairs)) / (one + other)


def _entropy(labels: Tensor) -> float:
    counts = torch.unique(labels, dim=0, return_counts=True)[1]
    share = counts.double() / counts.sum()
    return float(-(share * share.log()).sum())
