"""Sinkhorn-Knopp: soft assignments of samples to clusters that use all clusters alike.

Cuturi 2013, arXiv:1306.0895, as SwAV uses it (Caron et al. 2020, arXiv:2006.09882). N samples on this rank, K clusters.
"""

import torch
from torch import Tensor

from modalities.common import distributed


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float, rounds: int, counted: Tensor) -> Tensor:
    """Codes (N, K) of these scores, (N, K): each row sums to one and, the more rounds, the more alike columns do.

    Columns are summed over the samples of all ranks for which `counted`, (N,) of 0 and 1, is 1; the others are given
    codes but change nobody's. At least one must count on each rank. In float32 and logarithms: exp(1 / 0.05) is
    already past what half precision holds.
    """
    with torch.autocast(scores.device.type, enabled=False):
        logs = scores.float() / epsilon
        outside = counted.float().log().unsqueeze(1)  # 0 or -inf, (N, 1)
        for _ in range(rounds):
            columns = (logs + outside).logsumexp(0, keepdim=True)  # (1, K)
            logs = logs - distributed.gather(columns).logsumexp(0)
            logs = logs - logs.logsumexp(1, keepdim=True)
        return logs.exp()
