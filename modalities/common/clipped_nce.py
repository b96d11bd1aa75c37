"""AMDIM's contrast of one vector with the local features of other views, and the head that makes these comparable.

Bachman, Hjelm and Buchwalter, NeurIPS 2019, arXiv:1906.00910, after the authors' code.
N images, W ranks, C channels, D dimensions, L places.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.common import distributed


class LocalHead(nn.Module):
    """Features (N, C, h, w) to (N, D, h, w), each place alone: a residual layer that starts near the identity.

    Batch norm ends it, as in the authors' code.
    """

    def __init__(self, narrow: int, dim: int) -> None:
        super().__init__()
        second = nn.Conv2d(dim, dim, 1, bias=False)
        nn.init.zeros_(second.weight)
        self.branch = nn.Sequential(nn.Conv2d(narrow, dim, 1, bias=False), nn.ReLU(inplace=True), second)
        self.straight = nn.Conv2d(narrow, dim, 1, bias=False)  # the norm would take a bias away
        self.norm = nn.BatchNorm2d(dim)
        nn.init.uniform_(self.straight.weight, -0.01, 0.01)
        with torch.no_grad():
            self.straight.weight[:, :, 0, 0].fill_diagonal_(1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.branch(x) + self.straight(x))
        return found


def clipped(scores: Tensor, clip: float) -> Tensor:
    """Scores bent into [-clip, clip]; 0: as they are."""
    return clip * torch.tanh(scores / clip) if clip else scores


def clipped_nce(source: Tensor, targets: Tensor, clip: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """One vector an image (N, D) against all places of the other view of all images (N, D, L).

    Each of the L places of its own image is a positive, in a softmax of its own against the (WN - 1)L places of the
    other images; its own other places are in no other's. Returns the mean loss; the mean square of the scores before
    clipping, to be held small; the share of positives above all negatives; and what chance makes of that.
    """
    n, dim, places = targets.shape
    whole = n * distributed.world()
    with torch.autocast(source.device.type, enabled=False):  # sums of thousands of exponentials
        every = distributed.gather(targets.float())  # (WN, D, L)
        raw = torch.einsum("nd,mdl->nml", source.float(), every) / math.sqrt(dim)  # (N, WN, L)
        rows = torch.arange(n, device=raw.device)
        own = rows + distributed.rank() * n
        mine = torch.zeros(n, whole, 1, dtype=torch.bool, device=raw.device)
        mine[rows, own] = True
        scores = clipped(raw, clip)
        positive = scores[rows, own]  # (N, L)
        negative = scores.masked_fill(mine, -math.inf).flatten(1)  # (N, WN*L)
        # -log(e^p / (e^p + sum e^n)) = log(1 + e^(lse - p)), which overflows nowhere.
        loss = F.softplus(negative.logsumexp(1, keepdim=True) - positive).mean()
        accuracy = (positive > negative.amax(1, keepdim=True)).float().mean()
    return loss, raw.square().mean(), accuracy, 1 / (1 + (whole - 1) * places)
