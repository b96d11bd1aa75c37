"""AMDIM's encoder: a residual network without padding, so that a local feature sees a window of the picture alone.

Bachman, Hjelm and Buchwalter, NeurIPS 2019, arXiv:1906.00910; layers of the authors' code for pictures of 32 and 64
pixels. The same rule gives 16 and 128 pixels, where their 128 has other strides. With S = 8 * 2^n pixels, a 3x3
convolution and n halvings end in 7x7 places, each of which sees S/4 pixels every S/8; three more 3x3 layers give 5x5,
3x3 and 1x1 places. There is no batch norm but the last one. Starts as average pools of the first layer, since the
second convolution of each block starts at zero.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.image.networks.image_encoder import ImageEncoder

HALVINGS = {16: 1, 32: 2, 64: 3, 128: 4}


class Block(nn.Module):
    """A convolution of this kernel and stride, ReLU and a 1x1 one, beside an average pool of the same windows.

    Channels that the pool does not have start as zeros.
    """

    def __init__(self, narrow: int, wide: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.more = kernel, stride, wide - narrow
        self.first = nn.Conv2d(narrow, wide, kernel, stride, bias=False)
        self.second = nn.Conv2d(wide, wide, 1, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, self.kernel, self.stride)
        found: Tensor = self.second(self.first(x).relu()) + F.pad(pooled, (0, 0, 0, 0, 0, self.more))
        return found


def blocks(narrow: int, wide: int, kernel: int, stride: int, depth: int) -> nn.Sequential:
    """One block of this kernel and depth - 1 of 1x1."""
    return nn.Sequential(
        Block(narrow, wide, kernel, stride), *[Block(wide, wide, 1, 1) for _ in range(depth - 1)]
    )


class AmdimNet(ImageEncoder):
    """`width` channels in the first layer, twice as many after each halving, `dim` in the vector (N, dim).

    `depth` is the number of blocks a stage. Raises ValueError where the side has no such network.
    """

    def __init__(self, *, side: int, width: int, dim: int, depth: int) -> None:
        super().__init__(side, 3)
        if side not in HALVINGS:
            sides = ", ".join(map(str, HALVINGS))
            raise ValueError(
                f"image.encoder.side is {side}; AMDIM's network without padding is made for {sides}"
            )
        halvings = HALVINGS[side]
        self.wide = width * 2**halvings  # channels of the 7x7 and 5x5 maps
        for key, value, least in (("width", width, 1), ("depth", depth, 1), ("dim", dim, self.wide)):
            if value < least:
                raise ValueError(f"amdim.model.{key} is {value}; use at least {least}")
        self.spec: dict[str, Any] = {
            "class": "AmdimNet", "side": side, "width": width, "dim": dim, "depth": depth
        }  # fmt: skip
        self.dim = dim
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, bias=False), nn.ReLU(inplace=True)]
        if side <= 32:
            layers.append(Block(width, width, 1, 1))
        for k in range(halvings):
            kernel = 2 if k == halvings - 1 else 4
            layers.append(blocks(width * 2**k, width * 2 ** (k + 1), kernel, 2, depth))
        self.seven = nn.Sequential(*layers)
        self.five = blocks(self.wide, self.wide, 3, 1, depth)
        self.one = nn.Sequential(
            blocks(self.wide, self.wide, 3, 1, depth), Block(self.wide, dim, 3, 1), nn.BatchNorm2d(dim)
        )

    def maps(self, x: Tensor) -> list[Tensor]:
        """Of 7x7, 5x5 and 1x1 places."""
        seven = self.seven(self.normalised(x))
        five = self.five(seven)
        return [seven, five, self.one(five)]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[-1].flatten(1)


def window(side: int, place: Tensor) -> tuple[Tensor, int]:
    """Top and left (..., 2), in pixels, of what a place (...) of the 7x7 map sees, and how many it sees each way."""
    return torch.stack([place // 7, place % 7], -1) * (side // 8), side // 4
