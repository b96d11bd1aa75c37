"""Colours of a corpus of videos: random pixels, and points of them that k-means starts from. n pixels."""

import numpy as np
import torch
from torch import Tensor

from modalities.image.networks.lab import to_lab
from modalities.video.corpus import Videos

LOOKED = 2000  # frames, at most, that pixels are drawn from


def colours(corpus: Videos, pixels: int, rng: np.random.Generator) -> Tensor:
    """The ab of random pixels, (n, 2), alike from all of some frames, which are drawn evenly."""
    videos = np.repeat(np.arange(len(corpus)), corpus.counts)
    frames = np.concatenate([np.arange(count) for count in corpus.counts])
    some = np.sort(rng.permutation(len(frames))[: min(LOOKED, pixels)])
    videos, frames = videos[some], frames[some]
    area = corpus.sizes[videos].prod(1)
    places = (rng.random((len(some), pixels // len(some))) * area[:, None]).astype(np.int64)
    found = np.empty((*places.shape, 3), np.uint8)
    for part in corpus.parts(videos, frames):
        bytes_ = part.starts[:, None] + 3 * places[part.places]
        found[part.places] = part.stored[bytes_[..., None] + np.arange(3)]
    lab = to_lab(torch.from_numpy(found).permute(2, 0, 1)[None] / 255)
    return lab[0, 1:].flatten(1).T.contiguous()


def spread_out(points: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Points to start k-means from, (count, P): each drawn by its squared distance to those before it (k-means++)."""
    chosen = [int(rng.integers(len(points)))]
    away = torch.full((len(points),), torch.inf, dtype=torch.float64)
    for _ in range(count - 1):
        away = torch.minimum(away, (points - points[chosen[-1]]).double().square().sum(1))
        sums = away.cumsum(0).numpy()
        chosen.append(
            int(np.searchsorted(sums, rng.random() * sums[-1], side="right").clip(0, len(points) - 1))
        )
    return points[chosen]
