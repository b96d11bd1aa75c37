"""Residual blocks (He et al. 2015, arXiv:1512.03385), at any width and with any norm.

Parameters are named and shaped as torchvision's, so weights can be exchanged; a test holds the two equal. torchvision's
own classes fix the width at 64, and importing them takes 2.5 s of the 5 s that a stage takes to start.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

MakeNorm = Callable[[int], nn.Module]

LEAST = 8  # channels that a strided 1x1 convolution may have on a CPU; see Thinned


class Thinned(nn.Conv2d):
    """A 1x1 convolution with a stride that picks its pixels first: the same numbers, by another kernel.

    With fewer than 8 channels, channels last, the gradient of oneDNN's own is wrong, hangs or crashes on CPUs
    (uxlfoundation/oneDNN issue 6035; seen with torch 2.14.1).
    """

    def forward(self, x: Tensor) -> Tensor:
        down, across = self.stride
        return nn.functional.conv2d(x[:, :, ::down, ::across], self.weight)


class Residual(nn.Module):
    """Layers, and a shortcut around them; `expansion` is how many times more channels come out than `planes`."""

    expansion: int
    bn1: nn.Module
    downsample: nn.Module | None

    def shortcut(self, channels: int, planes: int, stride: int, norm: MakeNorm) -> None:
        out = planes * self.expansion
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != out:
            kind = Thinned if channels < LEAST else nn.Conv2d
            self.downsample = nn.Sequential(kind(channels, out, 1, stride, bias=False), norm(out))

    def added(self, x: Tensor, out: Tensor) -> Tensor:
        rest: Tensor = x if self.downsample is None else self.downsample(x)
        found: Tensor = self.relu(out + rest)
        return found


class BasicBlock(Residual):
    expansion = 1

    def __init__(self, channels: int, planes: int, stride: int, norm: MakeNorm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = norm(planes)
        self.shortcut(channels, planes, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.added(x, self.bn2(self.conv2(out)))


class Bottleneck(Residual):
    """The stride is in the 3x3 layer, as in torchvision (ResNet v1.5)."""

    expansion = 4

    def __init__(self, channels: int, planes: int, stride: int, norm: MakeNorm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = norm(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = norm(planes * 4)
        self.shortcut(channels, planes, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.added(x, self.bn3(self.conv3(out)))


def stages(
    block: type[BasicBlock | Bottleneck], counts: list[int], width: int, norm: MakeNorm
) -> nn.ModuleList:
    """Four stages of blocks, (N, width, h, w) in; each after the first halves the sides and doubles the channels."""
    found, channels = nn.ModuleList(), width
    for k, count in enumerate(counts):
        planes, blocks = width * 2**k, list[nn.Module]()
        for j in range(count):
            blocks.append(block(channels, planes, 2 if k and not j else 1, norm))
            channels = planes * block.expansion
        found.append(nn.Sequential(*blocks))
    for module in found.modules():
        if isinstance(module, nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return found
