"""What recurrent encoders share: reading backwards inside each text's true length. N texts, L tokens, D numbers."""

import torch
from torch import Tensor


def reverse(x: Tensor, length: Tensor) -> Tensor:
    """(N, L, ...) -> the same with the first `length` places of each row turned round; pads stay where they are."""
    place = torch.arange(x.shape[1], device=x.device)
    turned = length[:, None] - 1 - place  # (N, L)
    where = torch.where(turned >= 0, turned, place)
    return x.gather(1, where.view(*where.shape, *[1] * (x.dim() - 2)).expand_as(x))
