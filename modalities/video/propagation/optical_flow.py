"""Masks and joints carried along a video by optical flow: what features must beat that track without learning.

Flow by dense inverse search, Kroeger et al. 2016, arXiv:1603.03590. T frames of H x W pixels.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Flow = NDArray[np.float32]
SMALLEST = 16  # pixels of a side below which dense inverse search has no level of its pyramid to start from


def flows(frames: Frames, *, back: bool) -> Flow:
    """(T - 1, H, W, 2): where each pixel of a frame, (T, H, W, 3), went in the next one, in pixels right and down.

    back: where each pixel of frames 1 ... T - 1 came from in the frame before.
    """
    import cv2

    if min(frames.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"optical flow needs frames of {SMALLEST} pixels a side; these are {frames.shape[1:3]}"
        )
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    found = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    for t, (before, after) in enumerate(itertools.pairwise(grey)):
        start, end = (after, before) if back else (before, after)
        found[t] = dis.calc(start, end, None)  # type: ignore[call-overload]
    return found


def carry_labels(first: NDArray[np.uint8], back: Flow) -> NDArray[np.uint8]:
    """(T, H', W'): the labels of frame 0, (H', W'), in every frame; `back` is flow from each frame to the one before.

    Flow of frames of another size than the mask is stretched. Places in frame 0 are carried, not labels, so that a
    mask is read once and does not wash out step by step.
    """
    import cv2

    height, width = first.shape
    stretch = np.array([width / back.shape[2], height / back.shape[1]], np.float32)
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(
        np.float32
    )  # (H', W', 2), x and y
    origin, found = here, [first]
    for step in back:
        move = np.asarray(cv2.resize(step, (width, height), interpolation=cv2.INTER_LINEAR)) * stretch
        origin = sampled(origin, here + move, linear=True)
        found.append(sampled(first, origin, linear=False))
    return np.stack(found)


def carry_points(first: NDArray[np.float64], forth: Flow) -> NDArray[np.float64]:
    """(T, J, 2): points of frame 0, (x, y) in pixels whose middles are whole numbers, in every frame.

    `forth` is flow from each frame to the next one. A point that is not known, NaN, stays so.
    """
    found = [first]
    for step in forth:
        at = found[-1].astype(np.float32)[:, None]
        found.append(found[-1] + sampled(step, at, linear=True)[:, 0])
    return np.stack(found)


def sampled(picture: NDArray[Any], at: Flow, *, linear: bool) -> NDArray[Any]:
    """(H', W', ...): a picture, (H, W, ...), read at (H', W', 2) places x and y; its border goes on outside."""
    import cv2

    how = cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST
    found: NDArray[Any] = cv2.remap(picture, at[..., 0], at[..., 1], how, borderMode=cv2.BORDER_REPLICATE)
    return found
