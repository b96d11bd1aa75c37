"""Dense frozen features of frames, of any size: computed once for each video.

T frames of H x W pixels, C channels, h x w cells of 8 pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.common.device import device

CELL = 8  # pixels from one feature to the next
READ = 2**18  # pixels encoded at a time: with more, maps no longer fit into a core's cache


def has_maps(encoder: Encoder) -> bool:
    """Whether there are dense features at all: networks by name have a vector alone."""
    try:
        dense(encoder, np.zeros((1, CELL, CELL, 3), np.uint8), (4 * CELL, 4 * CELL))
    except NotImplementedError:
        return False
    return True


def dense(encoder: Encoder, frames: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """(T, C, h, w) of (T, H, W, 3) resized to `size`: of unit length, in evaluation mode, without gradient.

    The encoder is put back into the mode it was in.
    """
    where, training = device(), encoder.training
    encoder.to(where).eval()
    found = []
    try:
        for part in np.array_split(frames, -(-len(frames) * size[0] * size[1] // READ)):
            with torch.no_grad():
                maps = encoder.maps(resized(torch.from_numpy(part).to(where), size))[-1]
                found.append(F.normalize(maps.float(), dim=1))
    finally:
        encoder.train(training)
    return torch.cat(found)


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, 3, *size) in [0, 1] of (n, H, W, 3) uint8; averaged where shrunk."""
    images = frames.permute(0, 3, 1, 2).float() / 255
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True).clamp(0, 1)


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """The size whose short side is `side` and whose sides are whole numbers of cells, in nearly the same shape."""
    scale = side / min(height, width)
    high, wide = (max(CELL, CELL * round(length * scale / CELL)) for length in (height, width))
    return high, wide
