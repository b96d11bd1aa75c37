"""Holes in pictures: the middle, a few squares, or shapes cut out of smooth noise (arXiv:1604.07379).

N pictures, S side. A hole is what the network does not see.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Flags = NDArray[np.bool_]
Packed = NDArray[np.uint8]

SIDE = 64  # of stored shapes
SHARE = 0.25  # of the picture that holes cover,
LEAST, MOST = 0.2, 0.3  # at least and at most
SQUARES = (1 / 8, 1 / 4)  # sides of squares, shares of the picture's
TRIES = 64  # at squares


def squares(rng: np.random.Generator, count: int, side: int) -> Flags:
    """(count, S, S): random squares, which may overlap, one after the other until a quarter is covered.

    One that would cover more than MOST is left out.
    """
    low, high = (max(1, round(share * side)) for share in SQUARES)
    size = rng.integers(low, high + 1, (TRIES, count, 1))
    corner = rng.integers(side - size + 1, size=(2, TRIES, count, 1))
    line = np.arange(side)
    down, across = (line >= corner) & (line < corner + size)  # each (TRIES, count, S)
    found = np.zeros((count, side, side), np.bool_)
    for rows, columns in zip(down, across, strict=True):
        more = found | (rows[:, :, None] & columns[:, None, :])
        fits = (found.mean((1, 2)) < SHARE) & (more.mean((1, 2)) <= MOST)
        found = np.where(fits[:, None, None], more, found)
    return found


def shapes(rng: np.random.Generator, count: int, cells: int) -> Packed:
    """`count` random shapes, (count, SIDE * SIDE / 8), a bit a pixel: what is lowest in noise of `cells` by `cells`."""
    noise = torch.from_numpy(rng.standard_normal((count, 1, cells, cells), np.float32))
    smooth = F.interpolate(noise, size=SIDE, mode="bicubic", align_corners=False).flatten(1)
    low = smooth <= smooth.kthvalue(round(SHARE * SIDE * SIDE), 1, keepdim=True).values
    return np.packbits(low.numpy(), 1)


def unpacked(packed: Packed, side: int) -> Flags:
    """What `shapes` wrote, at S: (n, S, S). Those that cover too little or too much at this side are left out."""
    stored = np.unpackbits(packed, 1).reshape(-1, SIDE, SIDE).astype(np.bool_)
    place = ((np.arange(side) + 0.5) * SIDE / side).astype(np.int64)  # the nearest pixel
    found = stored[:, place][:, :, place]
    cover = found.mean((1, 2))
    kept: Flags = found[(cover >= LEAST) & (cover <= MOST)]
    return kept


def turned(holes: Flags, rng: np.random.Generator) -> Flags:
    """Each, (N, S, S), mirrored or not along either axis and the diagonal."""
    for axes in ((1,), (2,), None):
        other = holes.swapaxes(1, 2) if axes is None else np.flip(holes, axes)
        holes = np.where(rng.random(len(holes))[:, None, None] < 0.5, other, holes)
    return holes


def middle(side: int, band: int) -> tuple[slice, slice]:
    """Of a line of S pixels: the half in the middle, and what of it is hidden, without a band at both ends."""
    start, stop = side // 4, side // 4 + side // 2
    return slice(start, stop), slice(start + band, stop - band)
