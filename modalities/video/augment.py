"""Frames of a batch as tensors: crops of any frames of any videos, rendered in one call by image's compiled kernel.

Draw boxes here, whose frames differ in shape; flips, colour and all else as in `modalities.image.augment`, whose
`Draws` they fill. Frames of one tuple or clip share a crop and a flip by repeating its row: a crop of its own for each
frame would tell their order.

M frames, S side in pixels.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index
from modalities.image.augment import ASPECT, TRIES, Draws, plain, render_torch
from modalities.image.shared.rendering import on_cpu
from modalities.video.corpus import Videos


def whole(sizes: Index) -> Index:
    """(M, 2) heights and widths -> (M, 4) boxes of top, left, height, width: the square in the middle of each."""
    short = sizes.min(1, keepdims=True)
    return np.concatenate([(sizes - short) // 2, short, short], 1)


def crop_boxes(
    rng: np.random.Generator, sizes: Index, scale: Sequence[float], aspect: Sequence[float] = ASPECT
) -> Index:
    """Boxes (M, 4) of random resized crops of frames of these sizes, (M, 2); `scale` is a share of the area, from, to.

    Distributed as torchvision's RandomResizedCrop for each shape, but for its last resort, which is the middle square.
    """
    count = len(sizes)
    area = rng.uniform(scale[0], scale[1], (count, TRIES)) * sizes.prod(1)[:, None]
    ratio = np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1]), (count, TRIES)))
    tried = np.rint(np.sqrt([area / ratio, area * ratio]))  # (2, M, TRIES): heights, widths
    inside: NDArray[np.bool_] = (tried > 0) & (tried <= sizes.T[:, :, None])
    fits = np.logical_and(*inside)  # (M, TRIES)
    rows, first = np.arange(count), fits.argmax(1)
    size = np.where(fits[rows, first], tried[:, rows, first], sizes.min(1)).T  # (M, 2)
    corner = rng.random((count, 2)) * (sizes - size + 1)
    boxes = np.concatenate([corner, size], 1).astype(np.int64)
    return np.where(fits.any(1)[:, None], boxes, whole(sizes))


def cut(corpus: Videos, videos: Index, frames: Index, draws: Draws, side: int, device: str = "cpu") -> Tensor:
    """Frame frames[k] of videos[k] by row k of `draws`, (M, 3, S, S) float32 in [0, 1]; frames may repeat.

    Boxes are in pixels of the stored frames; what lies outside is read by reflection. Raises ValueError where numbers
    do not match, a video has no such frame, or a box cannot be read.
    """
    _checked(corpus.sizes[videos], frames, draws, side)
    if device == "cpu":
        arrays = [getattr(draws, field.name) for field in fields(draws)]
        return on_cpu(corpus.parts(videos, frames), arrays, side)
    out = torch.empty(len(videos), 3, side, side, device=device)
    for shape in np.unique(corpus.sizes[videos], axis=0):
        rows = np.flatnonzero((corpus.sizes[videos] == shape).all(1))
        some = Draws(*(getattr(draws, field.name)[rows] for field in fields(draws)))
        pixels = torch.from_numpy(corpus.frames(videos[rows], frames[rows])).to(device)
        out[torch.from_numpy(rows).to(device)] = render_torch(pixels, some, side)
    return out


def _checked(sizes: Index, frames: Index, draws: Draws, side: int) -> None:
    """The kernel does not look where it reads: raise ValueError before it would read past a frame."""
    if side < 1 or not len(sizes) == len(frames) == len(draws):
        raise ValueError(
            f"{len(sizes)} videos, {len(frames)} frames, {len(draws)} draws, side {side}; use one of each"
        )
    corner, size = draws.boxes[:, :2], draws.boxes[:, 2:]
    outside = np.maximum(-corner, corner + size - sizes)
    if size.min(initial=1) < 1 or (outside >= sizes).any():
        raise ValueError(
            f"a box of {size.min()} pixels, or one that lies {outside.max()} outside its frame; use at least 1, and "
            "less than the frame's own size outside"
        )


def squares(corpus: Videos, videos: Index, frames: Index, side: int, device: str = "cpu") -> Tensor:
    """The middle squares of these frames, resized and nothing else, (M, 3, S, S)."""
    return cut(corpus, videos, frames, plain(whole(corpus.sizes[videos])), side, device)


def uniform(counts: Index, frames: int) -> Index:
    """(n, T) frame numbers, evenly over videos of so many frames: the middle of each of T equal parts."""
    return (counts[:, None] * (2 * np.arange(frames) + 1) // (2 * frames)).astype(np.int64)


def crop_flip(
    corpus: Videos, videos: Index, frames: Index, side: int, rng: np.random.Generator, device: str = "cpu"
) -> Tensor:
    """Clips (n, 3, T, S, S) of frames (n, T) of n videos, each with one crop of 0.35 - 1 of its area and one flip."""
    count, length = frames.shape
    boxes = crop_boxes(rng, corpus.sizes[videos], (0.35, 1.0))
    flips = np.less(rng.random(count), 0.5)
    draws = plain(boxes.repeat(length, 0), flips.repeat(length))
    made = cut(corpus, videos.repeat(length), frames.reshape(-1), draws, side, device)
    return made.view(count, length, 3, side, side).transpose(1, 2)
