"""Geometry: how features lie in their space, without a label: alignment, uniformity and ranks of the test split.

Alignment is how near two views of one picture are, uniformity how evenly pictures fill the sphere (Wang and Isola,
ICML 2020, arXiv:2005.10242); both are better when less, and (0, 0) is collapse. The effective rank is RankMe (Garrido
et al. 2022, arXiv:2210.02885). These compare runs of one method: a random network may score well.
N pictures, D = encoder.dim.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.common.device import device
from modalities.common.embedding import READ
from modalities.common.health import effective_rank
from modalities.image.augment import Recipe, views
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder

LEAST = 16  # pictures: of fewer no rank or mean over pairs is worth a number
DEAD = 1e-4  # standard deviation below which a dimension says nothing


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Any,
    out: Path,
    *,
    seed: int,
    limit: int,
    recipe: dict[str, Any],
) -> dict[str, float]:
    """Of at most `limit` pictures of the test split, evenly spaced (0: all). `fit` and `out` are not used.

    alignment is over two views by `recipe`, with vectors of unit length; all else over pictures as they are. Empty
    where there are fewer than LEAST pictures.
    """
    if limit < 0:
        raise ValueError(f"image.transfers.geometry.limit is {limit}; use 0 for all, or a positive number")
    rows = np.flatnonzero(corpus.splits == "test")
    if len(rows) < LEAST:
        return {}
    if limit and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, max(limit, LEAST)).astype(np.int64)]
    whole, first, second = encoded(encoder, corpus, rows, Recipe(**recipe), np.random.default_rng(seed))
    spectrum = covariance(whole)
    return {
        "alignment": alignment(first, second),
        "uniformity": uniformity(whole),
        "effective_rank": effective_rank(whole),
        "participation_ratio": float(spectrum.sum() ** 2 / (spectrum**2).sum().clamp_min(1e-30)),
        "live_share": float((whole.std(0) >= DEAD).float().mean()),
    }


@torch.no_grad()
def encoded(
    encoder: ImageEncoder, corpus: Images, rows: Index, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, D) of these pictures as they are, of a first and of a second view, on the CPU."""
    where, training = device(), encoder.training
    encoder.to(where).eval()
    found: list[list[Tensor]] = []
    for part in np.array_split(rows, -(-len(rows) // READ)):
        pair = views(corpus, part, encoder.side, rng, [recipe] * 2)
        shown = [encoder.read(corpus, part), pair[0], pair[1]]
        found.append([encoder(x.to(where)).float().cpu() for x in shown])
    encoder.train(training)
    whole, first, second = (torch.cat(parts) for parts in zip(*found, strict=True))
    return whole, first, second


def alignment(first: Tensor, second: Tensor) -> float:
    """Mean squared distance of (N, D) and (N, D), row by row, at unit length: 0 to 4."""
    return float((F.normalize(first, dim=1) - F.normalize(second, dim=1)).square().sum(1).mean())


def uniformity(vectors: Tensor) -> float:
    """log of the mean of exp(-2 |x - y|²) over pairs of (N, D) at unit length: 0 where all are alike, -4 at best."""
    apart = torch.pdist(F.normalize(vectors.double(), dim=1)).square()
    return float(torch.logsumexp(-2 * apart, 0) - np.log(len(apart)))


def covariance(vectors: Tensor) -> Tensor:
    """(D,): eigenvalues of the covariance of (N, D)."""
    centred = vectors.double() - vectors.double().mean(0)
    found: Tensor = torch.linalg.eigvalsh(centred.T @ centred / len(vectors))
    return found.clamp_min(0)
