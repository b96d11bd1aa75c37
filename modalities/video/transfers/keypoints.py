"""Keypoint tracking: the joints of the first frame, carried along by frozen features.

JHMDB, Jhuang et al. 2013; by affinities as in Vondrick et al. 2018, arXiv:1806.09594. JHMDB counts pixels from 1: its
joints lose 1 on the way into a corpus.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.base import Encoder
from modalities.video.corpus import Videos
from modalities.video.propagation import judging
from modalities.video.propagation.affinity import propagate
from modalities.video.propagation.dense import CELL, dense, has_maps
from modalities.video.propagation.pck import from_maps, to_maps


def run(
    encoder: Encoder,
    corpus: Videos,
    fit: Any,
    out: Path,
    *,
    seed: int,
    context: int,
    top: int,
    radius: float,
    temperature: float,
    side: int,
    sigma: float,
    peaks: int,
    limit: int,
) -> dict[str, float]:
    """PCK of at most `limit` held-out videos, 0: all, with joints, and of as many of each further set: `jhmdb/PCK@0.1`.

    side: of the square that frames are resized to, in pixels; a cell of features is 8 of them. sigma: of a joint's
    first map, in cells; 0: a single cell. peaks: cells whose mean a joint is. Empty where the encoder has no dense
    features or no video has joints. Nothing here is trained or left to chance: `fit` and `seed` are not used.
    """
    if side < CELL or side % CELL:
        raise ValueError(f"video.transfers.keypoints.side is {side}; use a multiple of {CELL}")
    if not has_maps(encoder):
        return {}

    def carry(frames: NDArray[np.uint8], first: NDArray[np.float64]) -> NDArray[np.float64]:
        features = dense(encoder, frames, (side, side))
        maps = to_maps(first, features.shape[2], features.shape[3], sigma).to(features)
        carried = propagate(features, maps, context=context, top=top, radius=radius, temperature=temperature)
        return from_maps(carried, peaks)

    return judging.by_set(judging.joints(corpus, limit, carry, out))
