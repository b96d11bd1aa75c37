"""Pixels: a linear classifier on the pixels themselves, no network at all.

The probe `linear`, with all it does, on pictures shrunk to `side` x `side` by area.
"""

from collections.abc import Mapping

import numpy as np

from modalities.base import Features
from modalities.image.corpus import Images
from modalities.probes import linear


def run(corpus: Images, *, seed: int, strengths: list[float], held_out: float, side: int) -> dict[str, float]:
    """What `linear` finds, on the corpus and on each further labelled set. ValueError for a wrong side."""
    if not 1 <= side <= corpus.side:
        raise ValueError(
            f"image.baselines.pixels.side is {side}; use 1 to {corpus.side}, the stored pictures' side"
        )
    found: dict[str, float] = {}
    sets: Mapping[str, Images] = {"linear": corpus} | {
        f"linear ({name})": it for name, it in corpus.tasks().items()
    }
    for task, images in sets.items():
        if (images.labels < 0).all():
            continue
        features = Features(shrunk(images, side), images.labels, images.splits, images.ids, images.classes)
        metrics = linear.run(features, seed=seed, strengths=strengths, held_out=held_out)
        found |= {f"{task}.{name}": value for name, value in metrics.items() if name != "confusion"}
    return found


def shrunk(images: Images, side: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(N, 3 · side · side), 0 to 1."""
    import cv2

    vectors = np.empty((len(images), 3 * side * side), np.float32)
    for row in range(len(images)):
        small = cv2.resize(images.pixels(np.array([row]))[0], (side, side), interpolation=cv2.INTER_AREA)
        vectors[row] = small.reshape(-1) / 255
    return vectors
