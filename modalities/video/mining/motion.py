"""How fast a video moves, frame by frame: dense inverse search flow (Kroeger et al. 2016, arXiv:1603.03590).

No weights and no labels. F frames, shots are runs of rows (start, stop) that no flow may cross.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Shots = Sequence[tuple[int, int]]

SIDE = 32  # pixels of the short side that flow is measured on: enough for magnitudes, and half a millisecond a frame


def gray(frames: Iterable[Frames], side: int) -> list[Frames]:
    """Frames (H, W, 3) in grey, their short side shrunk to at most `side` by area averages."""
    import cv2

    found = []
    for frame in frames:
        plain: Any = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        found.append(shrunk(plain, side))
    return found


def shrunk(picture: Frames, side: int) -> Frames:
    """The same picture with a short side of at most `side` pixels, by area averages."""
    import cv2

    height, width = picture.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return picture
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA), np.uint8)


def motion(frames: Frames, fps: float, shots: Shots) -> NDArray[np.float32]:
    """Mean length of the flow from the frame before, (F,), in short sides per second; NaN at the start of a shot.

    `frames` are (F, H, W, 3), `fps` of them a second.
    """
    import cv2

    found = np.full(len(frames), np.nan, np.float32)
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    for start, stop in shots:
        small = gray(frames[start:stop], SIDE)
        for k in range(1, len(small)):
            moved = flow.calc(small[k - 1], small[k], None)  # (h, w, 2), in pixels
            length = float(np.hypot(moved[..., 0], moved[..., 1]).mean(dtype=np.float64))
            found[start + k] = length / min(small[k].shape) * fps
    return found
