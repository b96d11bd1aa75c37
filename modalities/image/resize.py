"""Pictures of any shape to a square: one rule for whatever decoder they came from."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "pad", "squash"]

WHITE = 255  # of padding, and behind what is transparent

cv2.setNumThreads(1)  # ingest already runs one process a core


def resize(pixels: Pixels, side: int, fit: Fit) -> Pixels:
    """(H, W, 3) -> (side, side, 3).

    crop keeps the middle square, pad keeps everything on white, squash changes the shape. Shrinking averages the
    area under each new pixel, so nothing aliases; enlarging is bicubic.
    """
    height, width = pixels.shape[:2]
    if fit == "crop":
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return _scale(pixels[top : top + short, left : left + short], side, side)
    if fit == "squash":
        return _scale(pixels, side, side)
    scale = side / max(height, width)
    inner = _scale(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def _scale(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)
