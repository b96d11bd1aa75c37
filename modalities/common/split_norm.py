"""Batch norm in parts, and samples dealt to the parts at random: what keeps MoCo's keys from being told by statistics.

A query and its key that are normalised with the same pictures share their mean and variance, and a network learns to
find the twin by those and not by what it shows (He et al. 2020, arXiv:1911.05722, section 3.3). So each part has its
own statistics, and keys go to the parts in another order than queries.

The parts are of the joined batch of all ranks, and each lies whole on one rank: many processes compute what one does.
That takes no statistics over ranks, unlike `SyncBatchNorm`, under which shuffling would change nothing.
N samples on this rank, W ranks, C channels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from modalities.common import distributed
from modalities.common.distributed import Network


class SplitBatchNorm(_NormBase):
    """Batch norm whose batch is cut into `splits` equal parts, in order; with one part it is batch norm.

    Running statistics are the mean over parts, as in the demo of MoCo's authors. No subclass of torch's batch norms, so
    that what makes those read all ranks leaves it alone. Parameters and buffers have their names: an encoder trained
    with parts is rebuilt with ordinary batch norm.
    """

    def __init__(self, features: int, splits: int, **more: Any) -> None:
        super().__init__(features, **more)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        world = distributed.world()
        parts, left = divmod(self.splits, world)
        if left:
            raise ValueError(f"bn_splits is {self.splits}; use a multiple of the {world} processes, or 1")
        if len(x) % parts or len(x) < 2 * parts:
            raise ValueError(
                f"train.batch gives {len(x) * world} samples to bn_splits: {self.splits}; use a multiple of it, at "
                "least twice it"
            )
        # With momentum 1 the running statistics of each part come out as those of this batch.
        means = x.new_zeros(parts, self.num_features, dtype=torch.float32)
        variances = torch.zeros_like(means)
        found = [
            F.batch_norm(part, means[k], variances[k], self.weight, self.bias, True, 1.0, self.eps)
            for k, part in enumerate(x.chunk(parts))
        ]
        mean, variance = distributed.total(torch.stack([means.mean(0), variances.mean(0)])) / world
        distributed.remember(self, mean, variance)
        return torch.cat(found)


def split(module: Network, splits: int) -> Network:
    """The same module, its batch norms in `splits` parts. Parameters and buffers are kept."""
    return distributed.renormed(module, lambda features: SplitBatchNorm(features, splits))


def shuffled(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`network(x)`, (N, ...), computed on the samples of all ranks in a random order, and put back in theirs.

    No gradient passes: it is for keys.
    """
    with torch.no_grad():
        everyone = distributed.gather(x)  # (W*N, ...)
        # One order for all, even if some rank drew other random numbers before.
        order = distributed.from_first(torch.randperm(len(everyone)).to(x.device))
        mine = order.chunk(distributed.world())[distributed.rank()]
        found = distributed.gather(network(everyone[mine]))
        return found[order.argsort()].chunk(distributed.world())[distributed.rank()]
