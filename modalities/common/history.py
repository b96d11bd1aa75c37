"""Vectors of past steps that a critic is shown beside those of this one, so that it does not forget what it knew.

Shrivastava et al., CVPR 2017, arXiv:1612.07828, as CycleGAN has it: at even odds a sample is exchanged for one that was
kept, and takes its place. N samples on this rank, W ranks, K places.
"""

import numpy as np
import torch
from torch import Tensor, nn

from modalities.common import distributed


class History(nn.Module):
    """K past maps of one shape. Draw `places` with `draw`, in `Pretext.batch`: chance comes in with the samples."""

    kept: Tensor
    filled: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("kept", torch.zeros(size, *shape))  # (K, ...)
        self.register_buffer("filled", torch.tensor(0))

    @staticmethod
    def draw(rng: np.random.Generator, count: int, size: int) -> Tensor:
        """(N,): a place to exchange with, or -1 for none, at even odds."""
        place = np.where(rng.random(count) < 0.5, rng.integers(size, size=count), -1)
        return torch.from_numpy(place)

    @torch.no_grad()
    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """(N, ...) -> (N, ...), some of them from the past once K were seen. Only training changes what is kept."""
        if not self.training:
            return x
        full = self.filled >= self.size
        old = full & (places >= 0)
        found = torch.where(old.view(-1, *[1] * (x.dim() - 1)), self.kept[places.clamp_min(0)].to(x.dtype), x)
        everyone, wanted = distributed.gather(x.detach()), distributed.gather(places)  # (W*N, ...)
        number = torch.arange(len(everyone), device=x.device)
        # Until all places are taken samples fill them in turn; place K is none.
        turn = (self.filled + number).clamp_max(self.size)
        into = torch.where(full, torch.where(wanted >= 0, wanted, self.size), turn)
        # Of several for one place the last stays, whatever order a device writes in.
        last = torch.full((self.size + 1,), -1, device=x.device).scatter_reduce(0, into, number, "amax")[:-1]
        new = (last >= 0).view(-1, *[1] * (x.dim() - 1))
        self.kept.copy_(torch.where(new, everyone[last.clamp_min(0)].to(self.kept.dtype), self.kept))
        self.filled.add_(len(everyone)).clamp_(max=self.size)
        return found
