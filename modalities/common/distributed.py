"""Gathers across ranks, exact at world size one: what a method needs to see the whole batch.

N is the batch of one rank, W the number of ranks.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Encode

Network = TypeVar("Network", bound=nn.Module)


def world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world() > 1 else 0


class _Gather(torch.autograd.Function):
    """Forward: all ranks' tensors. Backward: the sum over ranks of the gradients of this rank's part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed.chunk(world())[rank()]


def gather(x: Tensor) -> Tensor:
    """(N, ...) -> (W*N, ...), in the order of ranks, with gradients to every rank.

    DDP averages gradients over ranks, so a loss that every rank computes on the gathered batch, over its own rows
    and as a mean, has the gradient of one process with the joined batch.
    """
    if world() == 1:
        return x
    return _Gather.apply(x)  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed


def total(x: Tensor) -> Tensor:
    """The sum over ranks, with gradients to every rank."""
    if world() == 1:
        return x
    return _Sum.apply(x)  # type: ignore[no-any-return]


def from_first(x: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank."""
    if world() == 1:
        return x
    x = x.clone()
    dist.broadcast(x, 0)
    return x


def features(encode: Encode, count: int) -> Tensor:
    """Features of samples 0 .. count - 1 in order, (count, D) on every rank, each of which computes a part."""
    each = -(-count // world())
    padded = np.resize(np.arange(count), each * world())
    return gather(encode(padded[rank() * each : (rank() + 1) * each]))[:count]


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the joined batch of all ranks, on any device. torch's own one needs a GPU."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm needs (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        count = torch.tensor(float(input.numel() // input.shape[1]), device=input.device)
        sums = torch.cat([count.view(1), input.sum(axes), input.square().sum(axes)])
        summed = total(sums)
        channels = input.shape[1]
        mean = summed[1 : 1 + channels] / summed[0]
        variance = (summed[1 + channels :] / summed[0] - mean.square()).clamp_min(0)
        remember(self, mean, variance * summed[0] / (summed[0] - 1).clamp_min(1))
        shape = [1, -1] + [1] * (input.dim() - 2)
        normal = (input - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        return normal * self.weight.view(shape) + self.bias.view(shape) if self.affine else normal


@torch.no_grad()
def remember(norm: nn.modules.batchnorm._NormBase, mean: Tensor, variance: Tensor) -> None:
    """Move a batch norm's running statistics towards these of a batch, as torch's own does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance, momentum)


def renormed(module: Network, make: Callable[[int], nn.Module]) -> Network:
    """The same module, each of its batch norms one that `make` gives for so many features.

    Parameters, buffers and settings are kept.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            found = make(child.num_features)
            found.__dict__.update(child.__dict__)
            setattr(module, name, found)
        else:
            renormed(child, make)
    return module


def synchronised(module: Network) -> Network:
    """The same module, its batch norms reading the batches of all ranks."""
    return renormed(module, SyncBatchNorm)


def unit(x: Tensor) -> Tensor:
    """Rows of length one, in float32 whatever autocast says."""
    return F.normalize(x.float(), dim=-1)
