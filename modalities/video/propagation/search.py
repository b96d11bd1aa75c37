"""Where a patch of one frame lies in another, by nearness of vectors or by normalised cross-correlation.

N boxes, D = encoder.dim. A box is (top, left, height, width) in pixels of the stored frame.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Frame = NDArray[np.uint8]  # (H, W, 3)
Box = NDArray[np.float64]  # (4,), or (N, 4)
Embed = Callable[[Tensor], Tensor]  # (n, 3, h, w) in [0, 1] -> (n, D)
STEPS = 8  # of the grid, in a box side
READ = 256  # windows embedded at a time


def places(length: int, box: int, step: int) -> NDArray[np.int64]:
    """Where windows start along a side of `length` pixels: every `step`, and at the far end."""
    return np.unique(np.append(np.arange(0, length - box + 1, step), length - box))


def whole(box: Box, frame: Frame) -> tuple[int, int, int, int]:
    """A box in whole pixels, moved inside the frame. Raises ValueError where it is larger than the frame."""
    height, width = frame.shape[:2]
    high, wide = (max(1, int(side)) for side in np.round(box[2:]))
    if wide > width or high > height:
        raise ValueError(f"a box of {wide} x {high} pixels does not fit into a frame of {width} x {height}")
    top, left = np.round(box[:2])
    return int(np.clip(top, 0, height - high)), int(np.clip(left, 0, width - wide)), high, wide


def nearest(embed: Embed, start: Frame, box: Box, end: Frame) -> Box:
    """The window of `end`, on a grid of an eighth of the box, that is nearest to the patch of `start` by cosine."""
    top, left, high, wide = whole(box, start)
    ys = places(end.shape[0], high, max(1, round(high / STEPS)))
    xs = places(end.shape[1], wide, max(1, round(wide / STEPS)))
    at = np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).reshape(-1, 2)  # (n, 2)
    target = unit(embed, windows(start, high, wide)[top, left][None])[0]
    every = windows(end, high, wide)
    parts = np.array_split(at, -(-len(at) // READ))
    scores = torch.cat([unit(embed, every[part[:, 0], part[:, 1]]) @ target for part in parts])
    return np.array([*at[int(scores.argmax())], high, wide], np.float64)


def windows(frame: Frame, high: int, wide: int) -> NDArray[np.uint8]:
    """(H - high + 1, W - wide + 1, 3, high, wide): every window of a frame, without copying."""
    return np.lib.stride_tricks.sliding_window_view(frame, (high, wide), axis=(0, 1))


def unit(embed: Embed, patches: NDArray[np.uint8]) -> Tensor:
    """(n, D), of unit length, of (n, 3, h, w)."""
    return F.normalize(embed(torch.from_numpy(np.ascontiguousarray(patches)).float() / 255), dim=1)


def correlated(start: Frame, box: Box, end: Frame) -> Box:
    """The same by normalised cross-correlation of pixels, at every place: what learnt features are compared with."""
    import cv2

    top, left, high, wide = whole(box, start)
    scores = cv2.matchTemplate(end, start[top : top + high, left : left + wide], cv2.TM_CCOEFF_NORMED)
    # A flat window has no correlation: 0 / 0.
    y, x = np.unravel_index(int(np.nan_to_num(scores, posinf=0, neginf=0).argmax()), scores.shape)
    return np.array([y, x, high, wide], np.float64)


def overlap(found: Box, truth: Box) -> NDArray[np.float64]:
    """(N,): intersection over union of boxes, (N, 4) each."""
    start = np.maximum(found[:, :2], truth[:, :2])
    end = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    both = np.clip(end - start, 0, None).prod(1)
    either = found[:, 2:].prod(1) + truth[:, 2:].prod(1) - both
    overlapping: NDArray[np.float64] = both / either
    return overlapping


def astray(found: Box, truth: Box) -> NDArray[np.float64]:
    """(N,): distance of the centres, in sides of the true box (the root of its area)."""
    away = (found[:, :2] + found[:, 2:] / 2) - (truth[:, :2] + truth[:, 2:] / 2)
    distance: NDArray[np.float64] = np.hypot(*away.T) / np.sqrt(truth[:, 2:].prod(1))
    return distance
