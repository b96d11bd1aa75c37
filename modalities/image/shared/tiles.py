"""Tiles of pictures as a network is shown them, without what gives away where in the picture they come from.

Brightness and shading, which change slowly over a picture: each tile is normalised by its own numbers. Colour, which
lenses shift outwards: channels are dropped or projected. Blur: some tiles are shrunk and grown again.
M tiles, C channels, P side in pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview

FLAT = 1 / 255  # deviations below one step of the stored values are rounding, and are not blown up to 1


def standardised(tiles: Tensor, over: tuple[int, ...]) -> Tensor:
    """(..., C, P, P) with a mean of 0 in each channel and, over these axes, a root mean square of 1.

    `over` (-2, -1) divides each channel by its own deviation, (-3, -2, -1) the whole tile by one number. Tiles that
    are flat stay at 0.
    """
    centred = tiles - tiles.mean((-2, -1), keepdim=True)
    return centred / centred.square().mean(over, keepdim=True).sqrt().clamp_min(FLAT)


def shown(tiles: Tensor, encoder: ImageEncoder) -> Tensor:
    """Standardised tiles (M, C, P, P) in the range of pictures, so that the encoder's own normalisation undoes it.

    Encoders take RGB in [0, 1] and subtract and divide by their constants; a tile becomes `tile * std + mean`, mostly
    in [0, 1], and what reaches the first layer is the tile with mean 0 and root mean square 1.
    """
    return tiles * encoder.std.view(-1, 1, 1) + encoder.mean.view(-1, 1, 1)


def tile_side(share: float, encoder: ImageEncoder, key: str) -> int:
    """Pixels of a tile as the encoder eats it, a share of `encoder.side`. Raises ValueError naming the key."""
    side = round(share * encoder.side)
    if not 0 < share <= 1 or side < 4:
        raise ValueError(
            f"{key} is {share}, so the encoder would eat tiles of {side} pixels; use a share of image.encoder.side "
            f"({encoder.side}) of at most 1 that gives at least 4 pixels"
        )
    return side


def drop_channels(tiles: Tensor, counts: Index, noise: float, rng: np.random.Generator) -> Tensor:
    """Tiles (M, 3, P, P) of which 1 or 2 channels (M,), drawn for each, become noise around 0.

    Uniform, as in the authors' code, with `noise` times the standard deviation of the kept channels.
    """
    kept = torch.from_numpy(rng.random((len(tiles), 3)).argsort(1) >= counts[:, None])  # (M, 3)
    variance = (
        (tiles - tiles.mean((2, 3), keepdim=True)).square().mean((2, 3))
    )  # seven times as fast as torch.var
    variance = (variance * kept).sum(1) / kept.sum(1)
    drawn = torch.from_numpy(rng.random(tuple(tiles.shape), np.float32)).sub_(0.5)
    drawn *= noise * (12 * variance).sqrt()[:, None, None, None]  # numbers of 0 to 1 vary by 1/12
    return torch.where(kept[:, :, None, None], tiles, drawn)


def project_out(tiles: Tensor, axis: Sequence[float]) -> Tensor:
    """Tiles (M, 3, P, P) without what lies along one axis of RGB: x (I - a'a / aa')."""
    a = torch.tensor(axis)
    matrix = torch.eye(3) - torch.outer(a, a) / a.square().sum()
    return (matrix @ tiles.flatten(2)).view_as(tiles)


def resizing(source: int, side: int) -> Tensor:
    """The matrix (side, source) of torch's antialiased bicubic: R x R' resizes tiles, four times as fast as it does."""
    eye = torch.eye(source)[None, None]
    return F.interpolate(eye, size=(side, source), mode="bicubic", antialias=True, align_corners=False)[0, 0]


def shrinking(low: int, high: int, side: int) -> Tensor:
    """(high - low + 1, P, P): matrices, as above, that take a line of P pixels to low, ..., high pixels and back."""
    sizes = range(low, high + 1)
    return torch.stack([resizing(pixels, side) @ resizing(side, pixels) for pixels in sizes])


def framed(corpus: Images, index: Index, boxes: Index, colours: Sequence[Sequence[float]]) -> Tensor:
    """For people: these pictures with frames, (n, 3, H, H), around boxes (n, k, 4), one of k RGB colours each."""
    pixels = torch.from_numpy(corpus.pixels(index)).permute(0, 3, 1, 2).float() / 255
    side = preview.TILE
    found = F.interpolate(pixels, size=side, mode="bilinear", antialias=True, align_corners=False)
    for picture, here in zip(found, boxes * side // corpus.side, strict=True):
        for (top, left, height, width), colour in zip(here.tolist(), colours, strict=True):
            frame = picture[:, top : top + height, left : left + width]
            inside = frame[:, 2:-2, 2:-2].clone()
            frame[:] = torch.tensor(colour).view(3, 1, 1)
            frame[:, 2:-2, 2:-2] = inside
    return found


def mosaic(tiles: Tensor) -> Tensor:
    """For people: nine tiles of each picture (n, 9, 3, P, P), row by row with gaps, as (n, 3, H, H)."""
    gap = 3
    side = (preview.TILE - 2 * gap) // 3
    large = F.interpolate(tiles.flatten(0, 1), size=side, mode="nearest-exact").view(-1, 3, 3, 3, side, side)
    apart = F.pad(large, (0, gap, 0, gap), value=0.6)  # (n, 3, 3, C, H/3, H/3)
    return apart.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)[:, :, :-gap, :-gap]
