"""Encoders around encoders: what a method saw in training stands between RGB and its network.

All take RGB in [0, 1], (N, 3, S, S), so downstream never has to know. They live here and not with their methods, so
that encoder.json rebuilds them without the method.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder, Index
from modalities.image.corpus import Images
from modalities.image.networks.lab import to_lab


def luma(x: Tensor) -> Tensor:
    """(N, 3, S, S) RGB to (N, 1, S, S), by the weights of Rec. 601."""
    return (x * torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


class Around(Encoder):
    """What wrappers share: the inner encoder's side, its way of reading, and `spec` with the inner one's inside."""

    def __init__(self, encoder: Encoder, **more: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.dim = encoder.dim
        self.side: int = encoder.side  # type: ignore[assignment]
        self.spec = {"class": type(self).__name__, "encoder": encoder.spec, **more}

    def read(self, corpus: Images, index: Index) -> Tensor:
        return self.encoder.read(corpus, index)

    def like(self, **changes: Any) -> Encoder:
        more = {key: value for key, value in self.spec.items() if key not in ("class", "encoder")}
        return type(self)(encoder=self.encoder.like(**changes), **more)

    def seen(self, x: Tensor) -> Tensor:
        """What the inner encoder is shown of RGB images."""
        raise NotImplementedError

    def maps(self, x: Tensor) -> list[Tensor]:
        return self.encoder.maps(self.seen(x))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.encoder(self.seen(x))
        return found


class Lightness(Around):
    """Shows its encoder L of Lab alone, in [0, 1], repeated to the three channels of an RGB network."""

    def __init__(self, *, encoder: Encoder) -> None:
        super().__init__(encoder)

    def seen(self, x: Tensor) -> Tensor:
        return (to_lab(x)[:, :1] / 100).expand(-1, 3, -1, -1)


class Gray(Around):
    """Shows its encoder luma (Rec. 601), repeated to three channels."""

    def __init__(self, *, encoder: Encoder) -> None:
        super().__init__(encoder)

    def seen(self, x: Tensor) -> Tensor:
        return luma(x).expand(-1, 3, -1, -1)


class Sobel(Around):
    """Shows its two-channel encoder the horizontal and vertical gradients of luma, brought into about [0, 1]."""

    def __init__(self, *, encoder: Encoder) -> None:
        super().__init__(encoder)

    def seen(self, x: Tensor) -> Tensor:
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=x.device)
        kernels = torch.stack([across, across.T]).unsqueeze(1)
        return F.conv2d(F.pad(luma(x), (1, 1, 1, 1), mode="replicate"), kernels) / 8 + 0.5


class SplitBrain(Encoder):
    """Two half-networks, one on L and one on ab, their vectors and maps side by side (arXiv:1611.09842)."""

    def __init__(self, *, lightness: Encoder, colour: Encoder) -> None:
        super().__init__()
        self.lightness, self.colour = lightness, colour
        self.dim = lightness.dim + colour.dim
        self.side: int = lightness.side  # type: ignore[assignment]
        self.spec = {"class": "SplitBrain", "lightness": lightness.spec, "colour": colour.spec}

    def read(self, corpus: Images, index: Index) -> Tensor:
        return self.lightness.read(corpus, index)

    def like(self, **changes: Any) -> Encoder:
        return SplitBrain(lightness=self.lightness.like(**changes), colour=self.colour.like(**changes))

    @staticmethod
    def halves(x: Tensor) -> tuple[Tensor, Tensor]:
        """L as (N, 1, S, S) in [0, 1] and ab as (N, 2, S, S) around 0.5, of RGB images."""
        lab = to_lab(x)
        return lab[:, :1] / 100, lab[:, 1:] / 220 + 0.5

    def maps(self, x: Tensor) -> list[Tensor]:
        first, second = self.halves(x)
        both = zip(self.lightness.maps(first), self.colour.maps(second), strict=True)
        return [torch.cat(pair, 1) for pair in both]

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.halves(x)
        return torch.cat([self.lightness(first), self.colour(second)], 1)


class RgbDepth(Encoder):
    """Split-brain's halves of pictures with depth: RGB goes to `colour`, whose vector this is.

    `depth`, the half that eats HHA in [0, 1], (N, 3, S, S), rides along for those who have depth.
    """

    def __init__(self, *, colour: Encoder, depth: Encoder) -> None:
        super().__init__()
        self.colour, self.depth = colour, depth
        self.dim = colour.dim
        self.side: int = colour.side  # type: ignore[assignment]
        self.spec = {"class": "RgbDepth", "colour": colour.spec, "depth": depth.spec}

    def read(self, corpus: Images, index: Index) -> Tensor:
        return self.colour.read(corpus, index)

    def like(self, **changes: Any) -> Encoder:
        return RgbDepth(colour=self.colour.like(**changes), depth=self.depth.like(**changes))

    def maps(self, x: Tensor) -> list[Tensor]:
        return self.colour.maps(x)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.colour(x)
        return found


class PatchGrid(Around):
    """Cuts the image into overlapping patches, encodes each, and means their codes (CPC, arXiv:1807.03748)."""

    def __init__(self, *, encoder: Encoder, patch: int, stride: int) -> None:
        super().__init__(encoder, patch=patch, stride=stride)
        if not 0 < stride <= patch <= self.side:
            raise ValueError(f"patches of {patch} px every {stride} do not fit images of {self.side} px")
        self.patch, self.stride = patch, stride

    def grid(self, x: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, G, G, C, patch, patch)."""
        cut = x.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride)  # (N, C, G, G, p, p)
        return cut.permute(0, 2, 3, 1, 4, 5)

    def maps(self, x: Tensor) -> list[Tensor]:
        patches = self.grid(x)
        n, rows, columns = patches.shape[:3]
        codes = self.encoder(patches.flatten(0, 2).contiguous())
        return [codes.view(n, rows, columns, -1).permute(0, 3, 1, 2)]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[0].mean((2, 3))
