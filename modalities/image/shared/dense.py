"""Predictions at every place of a picture: the head on an encoder's maps, targets of its stride, means over places.

N images, C channels, S side, h and w the places, D channels of the head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.common.distributed import total, world


class Dense(nn.Module):
    """Two up-convolution blocks on the two coarsest maps, then a 1x1 convolution to `out` channels at `places` squared.

    `inputs` is the number of channels that the encoder takes, `key` what an error names. Raises ValueError where the
    encoder has no maps.
    """

    def __init__(
        self, encoder: Encoder, *, inputs: int, channels: int, out: int, places: int, key: str
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"{key}.channels is {channels}; use at least 1")
        fine, coarse = _widths(encoder, inputs, key)
        self.places = places
        self.first = _block(fine + coarse, channels)
        self.second = _block(channels, channels)
        self.out = nn.Conv2d(channels, out, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """[..., (N, C, h, w), (N, C', h', w')], coarse last -> (N, out, places, places)."""
        fine, coarse = maps[-2], maps[-1]
        # Nearest: its gradient on a GPU is the same bits in every run, that of bilinear is not.
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        found = self.first(torch.cat([fine, coarse], 1))
        found = self.second(F.interpolate(found, size=(self.places, self.places), mode="nearest"))
        out: Tensor = self.out(found)
        return out


def _block(inputs: int, out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


@torch.no_grad()
def _widths(encoder: Encoder, inputs: int, key: str) -> tuple[int, int]:
    """Channels of the last two maps. Leaves the running statistics of batch norm alone."""
    training, side = encoder.training, int(encoder.side)  # type: ignore[arg-type]
    try:
        maps = encoder.eval().maps(torch.zeros(1, inputs, side, side))
    except NotImplementedError:
        message = f"{key} predicts at every place, but image.encoder.arch has no maps; use resnet18, 34 or 50"
        raise ValueError(message) from None
    finally:
        encoder.train(training)
    return maps[-2].shape[1], maps[-1].shape[1]


def places(side: int, stride: int, key: str) -> int:
    """How many predictions a row of `side` pixels has. Raises ValueError where the stride does not divide it."""
    if stride < 1 or side % stride:
        raise ValueError(
            f"{key} is {stride}, but image.encoder.side is {side}; use a divisor of it, such as 4"
        )
    return side // stride


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """sum(weights * values) / sum(weights) over the joined batch of all ranks, as the mean that DDP makes of it."""
    below = total(weights.detach().sum()) / world()
    return (weights * values).sum() / below.clamp_min(torch.finfo(below.dtype).tiny)
