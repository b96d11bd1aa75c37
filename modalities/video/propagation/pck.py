"""Joints as maps of cells and back, and the percentage of correct keypoints.

Yang and Ramanan 2013; as on JHMDB, Jhuang et al. 2013. T frames, J joints, h x w cells. Joints are (x, y), NaN where
not known; what turns them to cells speaks of shares of the frame's width and height, and distances are of pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Points = NDArray[np.float64]
SCALE = 0.6  # of the diagonal of the box around a frame's joints: what distances are compared with


def shares(joints: Points, size: NDArray[np.int64]) -> Points:
    """Joints in pixels of a picture (height, width), the middle of its first pixel at 0, 0, as shares of its sides."""
    return (joints + 0.5) / size[::-1]


def pixels(joints: Points, size: NDArray[np.int64]) -> Points:
    """The inverse of `shares`."""
    return joints * size[::-1] - 0.5


def to_maps(joints: Points, height: int, width: int, sigma: float) -> Tensor:
    """(J, h, w) of (J, 2) shares: one hot cell a joint, or a Gaussian of `sigma` cells around it; 0 where not known."""
    at = joints * (width, height)  # in cells, their middles at .5
    maps = torch.zeros(len(joints), height, width)
    known = np.flatnonzero(np.isfinite(at.sum(1)))
    if sigma > 0:
        down, across = np.arange(height) + 0.5, np.arange(width) + 0.5
        x, y = at[known].T[..., None, None]  # (n, 1, 1) each
        away = (down[:, None] - y) ** 2 + (across - x) ** 2
        maps[known] = torch.from_numpy(np.exp(-away / (2 * sigma**2))).float()
    else:
        column, row = np.clip(np.floor(at[known]).astype(np.int64), 0, (width - 1, height - 1)).T
        maps[known, row, column] = 1
    return maps


def from_maps(maps: Tensor, peaks: int) -> Points:
    """(..., J, 2) shares of (..., J, h, w): weighted mean place of the `peaks` largest cells; NaN where all are 0."""
    height, width = maps.shape[-2:]
    values, which = maps.double().flatten(-2).topk(min(peaks, height * width))  # (..., J, peaks)
    places = torch.stack([which % width, which // width], -1) + 0.5
    total = values.sum(-1, keepdim=True)
    at = (values[..., None] * places).sum(-2) / torch.where(total > 0, total, torch.nan)
    found: Points = at.cpu().numpy() / (width, height)
    return found


def scales(truth: Points) -> NDArray[np.float64]:
    """(T,): what distances of each frame of (T, J, 2) are divided by; NaN where fewer than two joints are known."""
    known = np.isfinite(truth.sum(2))
    high = np.where(known[..., None], truth, -np.inf).max(1)
    low = np.where(known[..., None], truth, np.inf).min(1)
    found = np.full(len(truth), np.nan)
    some = known.sum(1) > 1
    found[some] = SCALE * np.hypot(*(high - low)[some].T)
    return found


def distances(predicted: Points, truth: Points) -> NDArray[np.float64]:
    """(T - 1, J) in units of `scales`, of (T, J, 2) pixels, frame 0 left out.

    inf where not predicted, NaN where the truth is not known.
    """
    away = np.linalg.norm(predicted - truth, axis=2)
    away[np.isnan(predicted).any(2)] = np.inf
    away[np.isnan(truth).any(2)] = np.nan
    scale = scales(truth)
    scale[scale == 0] = np.nan
    relative: NDArray[np.float64] = (away / scale[:, None])[1:]
    return relative


def correct(relative: NDArray[np.float64], alpha: float, *, missing: bool) -> float:
    """PCK@alpha of (n, J) relative distances: the mean over joints of each one's share of distances <= alpha.

    missing: whether joints that were not predicted count, as wrong; the reference code leaves them out. NaN where
    nothing can be counted.
    """
    counted = ~np.isnan(relative) if missing else np.isfinite(relative)
    right = ((relative <= alpha) & counted).sum(0)
    judged = counted.sum(0) > 0
    return float((right[judged] / counted.sum(0)[judged]).mean()) if judged.any() else float("nan")
