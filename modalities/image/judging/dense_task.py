"""What training on places of a picture shares, whatever is asked of them: frozen or tuned trunks, crops, upsampling.

N pictures, S side.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.image.corpus import Images

MODES = ("frozen", "tuned")


def check(modes: Sequence[str], key: str) -> None:
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"{key}.modes names {mode!r}; use frozen, tuned or both")


def named(name: str, mode: str, metric: str) -> str:
    """What is tuned goes by the plain name of the metric: "camvid/mIoU", "camvid/frozen mIoU"."""
    return f"{name}/{'frozen ' * (mode == 'frozen')}{metric}".removeprefix("/")


@torch.no_grad()
def sizes(encoder: Encoder, side: int) -> list[tuple[int, int]] | None:
    """(channels, places a side) of each map of pictures of this side; None where the network has none of this side."""
    training = encoder.training
    where = next(encoder.parameters()).device
    try:
        maps = encoder.eval().maps(torch.zeros(1, 3, side, side, device=where))
    except (NotImplementedError, RuntimeError):  # a network without padding is made for one side
        return None
    finally:
        encoder.train(training)
    return [(each.shape[1], each.shape[-1]) for each in maps]


def maps_of(encoder: Encoder, images: Tensor, frozen: bool) -> list[Tensor]:
    """Dense features, as they are (batch norm by its statistics, no gradient) where the trunk is frozen."""
    if not frozen:
        return encoder.maps(images)
    # Here and not in `train`: whoever encodes between two epochs puts the encoder back into training mode.
    encoder.eval()
    with torch.no_grad():
        return encoder.maps(images)


def still(encoder: Encoder) -> None:
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)


def shown(pictures: Images, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """(N, 3, S, S) in [0, 1], at the side that they are stored at."""
    return torch.from_numpy(pictures.pixels(index)).permute(0, 3, 1, 2).float().div_(255)


def upsampled(maps: Tensor, side: int) -> Tensor:
    """(N, C, h, h) -> (N, C, S, S), bilinear, by two matrix products: its gradient is the same bits on a GPU too."""
    matrix = _bilinear(maps.shape[-1], side).to(maps)
    return matrix @ maps @ matrix.T


@lru_cache(maxsize=16)
def _bilinear(small: int, side: int) -> Tensor:
    """(S, h)"""
    return F.interpolate(torch.eye(small)[None], size=side, mode="linear", align_corners=False)[0].T


def head_rate(head: nn.Module, scale: float) -> None:
    """The head learns so many times as fast as the trunk."""
    for parameter in head.parameters():
        parameter.lr_scale = scale  # type: ignore[attr-defined]
