"""Linear stages: the linear probe on the dense features of every stage of the network, not only on its last.

Of methods that solve a task of their own (rotation, relative, clustering) a middle stage is often the better feature:
Zhang et al. 2017, arXiv:1611.09842; Kolesnikov et al. 2019, arXiv:1901.09005. All stages are taken in one pass and
pooled to about as many numbers, as in Goyal et al. 2019, arXiv:1905.01235. Nothing is trained but the classifier.
N pictures, C channels and h, w places of a stage, g places a side after pooling.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Features
from modalities.common.device import device
from modalities.common.embedding import READ
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.probes import linear


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Any,
    out: Path,
    *,
    seed: int,
    numbers: int,
    strengths: list[float],
    held_out: float,
) -> dict[str, float]:
    """Accuracy by `stage1` ... of the corpus and of each further labelled set, `name/stage1`.

    Each stage's map is averaged over as fine a grid as leaves it at most `numbers` numbers, or over all places where
    even one place a side has more. Empty where the encoder has no dense features. `fit` and `out` are not used.
    """
    if numbers < 1:
        raise ValueError(f"image.transfers.linear_stages.numbers is {numbers}; use 1 or more, such as 256")
    found: dict[str, float] = {}
    for name, images in sets(corpus):
        try:
            pooled = stages(encoder, images, numbers)
        except NotImplementedError:
            return {}
        for number, vectors in enumerate(pooled, 1):
            features = Features(vectors, images.labels, images.splits, images.ids, images.classes)
            metrics = linear.run(features, seed=seed, strengths=strengths, held_out=held_out)
            metric = f"{name}/stage{number}".removeprefix("/")
            found |= {metric: metrics["accuracy"], f"{metric}.chance": metrics["accuracy.chance"]}
    return found


def sets(corpus: Images) -> Iterator[tuple[str, Images]]:
    """The corpus, as "", and its further sets, those of them that have labels in both splits."""
    for name, images in {"": corpus, **corpus.tasks()}.items():
        if {"train", "test"} <= set(images.splits[images.labels >= 0].tolist()):
            yield name, images


@torch.no_grad()
def stages(encoder: ImageEncoder, images: Images, numbers: int) -> list[NDArray[np.float32]]:
    """Of each stage (N, C * g * g), of every picture, without augmentation, in one pass."""
    where, training = device(), encoder.training
    encoder.to(where).eval()
    try:
        parts: list[list[Tensor]] = []
        for rows in np.array_split(np.arange(len(images)), max(1, -(-len(images) // READ))):
            maps = encoder.maps(encoder.read(images, rows).to(where))
            parts.append([pool(each.float(), numbers).cpu() for each in maps])
    finally:
        encoder.train(training)
    return [torch.cat(stage).numpy() for stage in zip(*parts, strict=True)]


def pool(maps: Tensor, numbers: int) -> Tensor:
    """(N, C, h, w) -> (N, C * g * g): means over a grid of g by g, g as large as `numbers` and the map allow."""
    side = min(int((numbers / maps.shape[1]) ** 0.5), *maps.shape[2:])
    return F.adaptive_avg_pool2d(maps, max(1, side)).flatten(1)
