"""Is an encoder collapsing? Spread and effective rank of its vectors, before any evaluation says so."""

import torch
from torch import Tensor
from torch.nn import functional as F


def spread(vectors: Tensor) -> float:
    """Mean over D of the standard deviation of unit-length vectors (N, D).

    Near 1/sqrt(D) when healthy, 0 when collapsed.
    """
    return float(F.normalize(vectors.float(), dim=1).std(0).mean())


def effective_rank(vectors: Tensor) -> float:
    """RankMe of (N, D), in [1, min(N, D)] (Garrido et al. 2022, arXiv:2210.02885)."""
    sizes = torch.linalg.svdvals(vectors.float())
    share = sizes / sizes.sum().clamp_min(1e-12) + 1e-7
    return float(torch.exp(-(share * share.log()).sum()))
