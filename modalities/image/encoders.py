"""Encoders of pictures: ResNets of any width, and any network that torchvision or timm has by name.

All take RGB in [0, 1], (N, 3, S, S); normalisation is inside. D = `dim`.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from modalities.image.networks.amdim_net import AmdimNet
from modalities.image.networks.image_encoder import MEAN, STD, ImageEncoder
from modalities.image.networks.residual import BasicBlock, Bottleneck, MakeNorm, stages
from modalities.image.networks.wrappers import Gray, Lightness, PatchGrid, RgbDepth, Sobel, SplitBrain

__all__ = [
    "MEAN",
    "STD",
    "AmdimNet",
    "Gray",
    "ImageEncoder",
    "Lightness",
    "Named",
    "PatchGrid",
    "ResNet",
    "RgbDepth",
    "Sobel",
    "SplitBrain",
    "encoder",
]

Norm = Literal["batch", "group", "layer", "none"]
Stem = Literal["3x3", "3x3-pool", "7x7"]


class ResNet(ImageEncoder):
    """A ResNet without its classifier, at any width (He et al. 2015, arXiv:1512.03385).

    `stem` is the first layer: "3x3" (stride 1, no pooling: 32 px), "3x3-pool" (64 px) or "7x7" (the paper's).
    """

    def __init__(
        self, *, arch: str, width: int, stem: Stem, norm: Norm, side: int, channels: int = 3
    ) -> None:
        super().__init__(side, channels)
        if arch not in RESNETS:
            raise ValueError(f"image.encoder.arch is {arch}; as a ResNet it is one of {', '.join(RESNETS)}")
        if width < 1 or (norm == "group" and width % 8):
            raise ValueError(f"image.encoder.width is {width}; use a positive multiple of 8")
        block, layers = RESNETS[arch]
        self.spec = {
            "class": "ResNet", "arch": arch, "width": width, "stem": stem, "norm": norm, "side": side,
            "channels": channels,
        }  # fmt: skip
        conv = (
            nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
            if stem == "7x7"
            else nn.Conv2d(channels, width, 3, padding=1, bias=False)
        )
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        pool = nn.Identity() if stem == "3x3" else nn.MaxPool2d(3, 2, 1)
        self.stem = nn.Sequential(conv, NORMS[norm](width), nn.ReLU(inplace=True), pool)
        self.stages = stages(block, layers, width, NORMS[norm])
        self.dim = 8 * width * block.expansion

    def maps(self, x: Tensor) -> list[Tensor]:
        x = self.stem(self.normalised(x))
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[-1].mean((2, 3))


RESNETS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}
NORMS: dict[Norm, MakeNorm] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(8, channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class Named(ImageEncoder):
    """Any network of torchvision or timm, untrained: `torchvision:convnext_tiny`, `timm:vit_tiny_patch16_224`."""

    def __init__(self, *, arch: str, side: int, channels: int = 3) -> None:
        super().__init__(side, channels)
        library, _, name = arch.partition(":")
        self.spec = {"class": "Named", "arch": arch, "side": side, "channels": channels}
        if library == "timm":
            try:
                import timm
            except ImportError:
                message = f"image.encoder.arch is {arch}, but timm is not installed: pip install -e .[timm]"
                raise ValueError(message) from None
            self.net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
        else:
            import torchvision

            self.net = torchvision.models.get_model(name, weights=None)
            _behead(self.net)
        with torch.no_grad():
            self.eval()
            self.dim = self.net(torch.zeros(1, channels, side, side)).flatten(1).shape[1]
            self.train()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net(self.normalised(x))
        return found.flatten(1)


def _behead(net: nn.Module) -> None:
    """Replace the classifier of a torchvision network, which lies under one of three names, by the identity."""
    for name in ("fc", "classifier", "heads", "head"):
        if hasattr(net, name):
            setattr(net, name, nn.Identity())
            return
    raise ValueError(
        f"image.encoder.arch: {type(net).__name__} has no classifier to take off; use a classification network"
    )


def encoder(*, arch: str, width: int, stem: Stem, norm: Norm, side: int) -> ImageEncoder:
    """The shared trunk. `arch` is resnet18, resnet34, resnet50, torchvision:NAME or timm:NAME.

    width, stem and norm speak of ResNets; named networks have their own.
    """
    if ":" in arch:
        return Named(arch=arch, side=side)
    return ResNet(arch=arch, width=width, stem=stem, norm=norm, side=side)
