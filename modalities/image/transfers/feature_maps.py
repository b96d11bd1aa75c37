"""Feature maps: where each stage of the network responds, and what it holds apart; pictures alone, no number.

Strength is the mean over channels of |a|. Colours are the first three principal components of all places of a stage
as red, green and blue: places of one colour are alike to the network, as in Oquab et al. 2023, arXiv:2304.07193.
N pictures, C channels and h, w places of a stage.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.common.device import device
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.judging import dense_task
from modalities.image.shared import preview

TAILS = (
    0.02,
    0.98,
)  # shares of the places between which a scale is stretched, so that no single one darkens all


def run(
    encoder: ImageEncoder, corpus: Images, fit: Any, out: Path, *, seed: int, pictures: int
) -> dict[str, float]:
    """Draw so many pictures of the test split, evenly spaced. Draws nothing where the encoder has no dense features.

    `fit` and `seed` are not used.
    """
    if pictures < 1:
        raise ValueError(f"image.transfers.feature_maps.pictures is {pictures}; use 1 or more, such as 8")
    test = np.flatnonzero(corpus.splits == "test")
    if not len(test):
        return {}
    rows = test[np.unique(np.linspace(0, len(test) - 1, min(pictures, len(test))).astype(np.int64))]
    where, training = device(), encoder.training
    encoder.to(where).eval()
    try:
        with torch.no_grad():
            maps = [each.float().cpu() for each in encoder.maps(encoder.read(corpus, rows).to(where))]
    except NotImplementedError:
        return {}
    finally:
        encoder.train(training)
    drawn = {"picture": dense_task.shown(corpus, rows)}
    for number, each in enumerate(maps, 1):
        drawn |= {f"{number} strength": strength(each), f"{number} colours": colours(each)}
    preview.grid(out / "feature_maps.png", drawn)
    return {}


def strength(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 1, h, w) in [0, 1], one scale for all pictures."""
    return stretched(maps.abs().mean(1, keepdim=True))


def colours(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, 3, h, w) in [0, 1], one palette for all pictures; a component's largest weight is positive.

    Components that there are not, of fewer than three channels or places, stay in the middle.
    """
    count, channels, height, width = maps.shape
    places = maps.permute(0, 2, 3, 1).reshape(-1, channels).double()  # (N·h·w, C)
    centred = places - places.mean(0)
    _, axes = torch.linalg.eigh(centred.T @ centred)  # weakest first
    first = axes.flip(1)[:, :3]
    largest = first.gather(0, first.abs().argmax(0, keepdim=True))
    scores = centred @ (first * largest.sign())  # (N·h·w, 3)
    found = torch.full((len(places), 3), 0.5)
    for k in range(scores.shape[1]):
        found[:, k] = stretched(scores[:, k]).float()
    return found.view(count, height, width, 3).permute(0, 3, 1, 2)


def stretched(x: Tensor) -> Tensor:
    """From the one tail to the other as 0 to 1; all .5 where nothing differs."""
    low, high = (float(torch.quantile(x.double().flatten()[: 2**24], share)) for share in TAILS)
    return ((x - low) / (high - low)).clamp(0, 1) if high > low else torch.full_like(x, 0.5)
