"""Networks that make a picture four times as large (SRGAN, Ledig et al., CVPR 2017, arXiv:1609.04802).

N pictures, S side of the large one.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.image.shared.tiles import resizing
from modalities.image.shared.upward import Upward, deepest, doublings

FACTOR = 4


class Resize(nn.Module):
    """Antialiased bicubic from `source` to `side` pixels, as two products with a matrix."""

    matrix: Tensor

    def __init__(self, source: int, side: int) -> None:
        super().__init__()
        self.register_buffer("matrix", resizing(source, side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = self.matrix @ x.float() @ self.matrix.T
            return found


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.body(x)
        return found


class Generator(nn.Module):
    """(N, 3, S/4, S/4) in [0, 1] to (N, 3, S, S) in about [-1, 1]: residual blocks at S/4, then two pixel shuffles.

    What it makes is added to bicubic upsampling and is nothing at first (the global skip of VDSR, Kim et al. 2016,
    arXiv:1511.04587), so a run of a minute begins where the paper's is after some thousand steps.
    """

    def __init__(self, side: int, *, channels: int, blocks: int) -> None:
        super().__init__()
        self.enlarge = Resize(side // FACTOR, side)
        self.first = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(Block(channels) for _ in range(blocks)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.grow = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
                for _ in range(2)
            )
        )
        self.last = nn.Conv2d(channels, 3, 9, padding=4)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, small: Tensor) -> Tensor:
        x = self.first(2 * small - 1)
        found: Tensor = self.last(self.grow(x + self.blocks(x))).float()
        bicubic: Tensor = self.enlarge(small)
        return found + 2 * bicubic - 1


class Through(nn.Module):
    """A generator, and beside it what an encoder sees in the enlarged picture: body(small) + decode(deepest map).

    The decoder sees the deepest map alone.
    """

    def __init__(self, encoder: Encoder, body: Generator, *, channels: int) -> None:
        super().__init__()
        last = deepest(encoder, "superres")
        self.encoder, self.body = encoder, body
        self.up = Upward(
            last.channels,
            channels=4 * channels,
            times=doublings(last.side, int(encoder.side), "superres"),  # type: ignore[arg-type]
        )
        self.last = nn.Conv2d(self.up.out, 3, 3, padding=1)
        nn.init.normal_(self.last.weight, 0.0, 0.02)

    def forward(self, small: Tensor) -> Tensor:
        large = self.body.enlarge(small).clamp(0, 1)
        found: Tensor = self.last(self.up(self.encoder.maps(large)[-1]))
        added: Tensor = self.body(small) + found.float()
        return added


class Critic(nn.Module):
    """linear(D, 1) on an encoder's vector, which is thereby the critic's trunk: a logit of "real", (N,).

    The layer's weights have length one: of a matrix of one row that is the spectral norm (Miyato et al. 2018,
    arXiv:1802.05957). Pictures come in [-1, 1].
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, 1)

    def forward(self, pictures: Tensor, maps: bool = False) -> Any:
        """Logits, (N,), or the encoder's maps."""
        if maps:
            return self.encoder.maps(shown(pictures))
        vectors = self.encoder(shown(pictures))
        return F.linear(vectors, F.normalize(self.head.weight, dim=1), self.head.bias).squeeze(1)


def shown(pictures: Tensor) -> Tensor:
    """Pictures of [-1, 1] as encoders take them, in [0, 1]. Nothing is clamped, so that gradients pass."""
    return (pictures + 1) / 2
