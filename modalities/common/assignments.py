"""Clusters as labels: of every sample of a corpus, found anew each epoch, the same on all ranks.

What DeepCluster (Caron et al. 2018, arXiv:1807.05520) trains on. M samples, H clusterings, K clusters, P dimensions.
"""

import torch
from torch import Tensor, nn

from modalities.common import distributed
from modalities.common.kmeans import kmeans, normalised_information


class Assignments(nn.Module):
    """H labels a sample, at first 0, and how the last clustering went: buffers, so a checkpoint has them."""

    labels: Tensor
    health: Tensor

    def __init__(self, clusterings: int, samples: int, clusters: int) -> None:
        super().__init__()
        self.clusters = clusters
        self.register_buffer("labels", torch.zeros(clusterings, samples, dtype=torch.long))  # (H, M)
        self.register_buffer("health", torch.zeros(3))

    @torch.no_grad()
    def renew(self, points: list[Tensor], *, iterations: int, spherical: bool) -> Tensor:
        """Cluster H sets of points, (M, P) each, from as many random ones; return the centroids, (H, K, P).

        Ranks that computed points of their own, and so might differ by rounding, all get rank 0's.
        """
        health, centroids = torch.zeros_like(self.health), []
        for k, mine in enumerate(points):
            start = mine[torch.randperm(len(mine))[: self.clusters].to(mine.device)]
            found = kmeans(mine, start, iterations=iterations, spherical=spherical)
            labels = distributed.from_first(found.labels)
            sizes = torch.bincount(labels, minlength=self.clusters)
            same = normalised_information(self.labels[k], labels)
            health += health.new_tensor([same, int((sizes == 0).sum()), float(sizes.max() / len(labels))])
            self.labels[k] = labels
            centroids.append(distributed.from_first(found.centroids))
        self.health.copy_(health / len(points))
        return torch.stack(centroids)

    def metrics(self) -> dict[str, Tensor]:
        """Means over clusterings: `nmi` with the labels before, `empty` clusters, share of the `biggest`."""
        return dict(zip(("nmi", "empty", "biggest"), self.health.clone(), strict=True))


def alike(labels: Tensor, count: int) -> Tensor:
    """`count` of M samples, on the CPU, that have all clusters that are not empty equally often, give or take one.

    A cluster with too few members repeats them in turn, where the authors draw with replacement; of one with more
    than it needs a random part is left out.
    """
    shuffled = torch.randperm(len(labels))
    members = shuffled[labels[shuffled].argsort(stable=True)]  # cluster by cluster, in each at random
    sizes = torch.bincount(labels)
    sizes = sizes[sizes > 0].unsqueeze(1)  # (K', 1)
    starts = sizes.cumsum(0) - sizes
    each = count // len(sizes) + 1
    picks = starts + torch.arange(each) % sizes  # (K', each)
    drawn = members[picks.T.flatten()[:count]]  # the k-th of every cluster before any cluster's next
    return drawn[torch.randperm(count)]
