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
    mine = torch.cat([first, second])  # (2N, D)
    others = torch.cat([distributed.gather(first), distributed.gather(second)])  # (2WN, D)
    n, offset, whole = len(first), distributed.rank() * len(first), len(first) * distributed.world()
    rows = torch.arange(n, device=mine.device) + offset
    logits = mine @ others.T / temperature  # (2N, 2WN)
    logits.scatter_(
        1, torch.cat([rows, rows + whole]).unsqueeze(1), float("-inf")
    )  # a vector is not its own pair
    target = torch.cat([rows + whole, rows])
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()
