"""A slow twin: the moving average of a network's parameters, as MoCo's key encoder and BYOL's target are.

Mean teachers (Tarvainen and Valpola 2017, arXiv:1703.01780). Buffers are not averaged: the batch-norm statistics of
the twin follow its own forward passes, in training mode, as in the authors' code of both methods.
"""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def twin(student: Network) -> Network:
    """A copy that starts equal and that no optimizer moves."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Each parameter of the teacher becomes momentum · itself + (1 - momentum) · the student's."""
    slow: list[Tensor] = list(teacher.parameters())
    fast: list[Tensor] = list(student.parameters())
    if len(slow) != len(fast):
        raise ValueError(f"the teacher has {len(slow)} parameters, the student {len(fast)}: not twins")
    torch._foreach_lerp_(slow, fast, 1 - momentum)


def cosine(start: float, end: float, progress: float) -> float:
    """Momentum on half a cosine, `start` at progress 0 and `end` at 1 (BYOL, arXiv:2006.07733)."""
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2


def check(method: str, momentum: float, momentum_end: float) -> None:
    """Raise ValueError, naming the key of this method, where a momentum is not a share."""
    for key, value in (("momentum", momentum), ("momentum_end", momentum_end)):
        if not 0 <= value <= 1:
            raise ValueError(
                f"{method}.model.{key} is {value}; use 0 (a copy) to 1 (never moves), such as 0.99"
            )
