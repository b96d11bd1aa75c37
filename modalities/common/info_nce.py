"""InfoNCE: a vector's twin against all other vectors of the batch (van den Oord et al. 2018, arXiv:1807.03748).

N pairs on this rank, W ranks, D dimensions.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.common import distributed


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """SimCLR's normalised, temperature-scaled cross-entropy of two unit-length views, each (N, D).

    Every vector has its twin as the positive and the other 2WN - 2 of all ranks as negatives. Returns the loss, a
    mean over this rank's 2N vectors, and the share of them whose twin is nearest.
    """
    with torch.autocast(first.device.type, enabled=False):  # bf16 is too coarse for a softmax over thousands
        first, second = first.float(), second.float()
        mine = torch.cat([first, second])  # (2N, D)
        others = torch.cat([distributed.gather(first), distributed.gather(second)])  # (2WN, D)
        n, offset, whole = len(first), distributed.rank() * len(first), len(first) * distributed.world()
        rows = torch.arange(n, device=mine.device) + offset
        logits = mine @ others.T / temperature  # (2N, 2WN)
        own = torch.cat([rows, rows + whole]).unsqueeze(1)
        logits.scatter_(1, own, float("-inf"))  # a vector is not its own pair
        target = torch.cat([rows + whole, rows])
        return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Unit-length queries (N, D), the key of each (N, D), and negatives that all of them share (K, D).

    Returns the mean loss, -log of the key's share of the softmax over 1 + K, and the share of queries nearer to their
    key than to every negative; where all vectors are the same that is 0.
    """
    with torch.autocast(query.device.type, enabled=False):  # bf16 is too coarse for a softmax over thousands
        positive = (query * key).sum(1)  # (N,)
        others = query @ negatives.T  # (N, K)
        logits = torch.cat([positive.unsqueeze(1), others], 1) / temperature  # (N, 1 + K)
        target = torch.zeros(len(query), dtype=torch.long, device=query.device)
        return F.cross_entropy(logits, target), (positive > others.amax(1)).float().mean()


def batch_info_nce(query: Tensor, key: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The same, (N, D) each, with the other keys of the batch of all ranks as negatives (MoCo v3, arXiv:2104.02057)."""
    with torch.autocast(query.device.type, enabled=False):
        logits = query @ distributed.gather(key).T / temperature  # (N, WN)
        target = _own(query)
        return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()


@torch.no_grad()
def nearest(query: Tensor, key: Tensor) -> Tensor:
    """The share of queries (N, D) to whom, of the keys (N, D) of all ranks, their own is the most similar."""
    return ((query @ distributed.gather(key).T).argmax(1) == _own(query)).float().mean()


def _own(query: Tensor) -> Tensor:
    """Where in the joined batch this rank's N rows lie."""
    return torch.arange(len(query), device=query.device) + distributed.rank() * len(query)
