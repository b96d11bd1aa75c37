"""From the deepest map of an encoder back to a picture: up-convolutions, and the critics that look at the result.

No skip around the deepest map: what a picture is made of must have passed through it. Transposed convolutions of 4x4
with stride 2, batch norm and ReLU (DCGAN, Radford et al., arXiv:1511.06434).
N images, D channels and s side of the deepest map.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from modalities.base import Encoder
from modalities.common.adversarial import normal_

LEAST = 16  # channels, however often they were halved


class Deepest(NamedTuple):
    """Of an encoder's last map."""

    channels: int
    side: int


@torch.no_grad()
def deepest(encoder: Encoder, key: str) -> Deepest:
    """Raises ValueError, naming `key`, where the encoder has no maps. Leaves batch norm's statistics alone."""
    training, side = encoder.training, int(encoder.side)  # type: ignore[arg-type]
    try:
        last = encoder.eval().maps(torch.zeros(1, 3, side, side))[-1]
    except NotImplementedError:
        message = (
            f"{key} makes a picture of the last map, but image.encoder.arch has none; use resnet18, 34 or 50"
        )
        raise ValueError(message) from None
    finally:
        encoder.train(training)
    return Deepest(last.shape[1], last.shape[2])


def doublings(start: int, stop: int, key: str) -> int:
    """How often s must be doubled. Raises ValueError where that does not lead there."""
    times = max(stop // start, 1).bit_length() - 1
    if start * 2**times != stop:
        raise ValueError(
            f"{key}: a last map of {start} cannot be doubled to {stop} pixels; use an image.encoder.side that is a "
            "multiple of 32, or another stem"
        )
    return times


class Upward(nn.Sequential):
    """(N, inputs, s, s) to (N, `out`, 2^times s, ...): `channels` at first, half of them after each doubling."""

    def __init__(self, inputs: int, *, channels: int, times: int) -> None:
        layers: list[nn.Module] = []
        for k in range(times):
            out = max(LEAST, channels >> k)
            layers += [
                nn.ConvTranspose2d(inputs, out, 4, 2, 1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            ]
            inputs = out
        super().__init__(*layers)
        self.out = inputs
        normal_(self)


class PictureCritic(nn.Module):
    """Real or made, of pictures (N, 3, S, S) in [-1, 1]: the critic of DCGAN, a logit each, (N,).

    Strided convolutions down to 4 pixels, `channels` at first and twice as many after each, at most eight times.
    """

    def __init__(self, side: int, *, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, out = 3, channels
        while side > 4:
            layers.append(nn.Conv2d(inputs, out, 4, 2, 1, bias=not layers))
            if inputs != 3:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs, out, side = out, min(2 * out, 8 * channels), side // 2
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(inputs, 1, side)
        normal_(self)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(pictures))
        return found.flatten(1).mean(1)
