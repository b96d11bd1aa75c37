"""AMDIM's views: one flip for both, then two independent draws (Bachman et al. 2019, arXiv:1906.00910).

Pictures of up to 32 pixels that are stored as they are shown are moved, with a reflected border, and not cropped.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from modalities.base import Index
from modalities.image import augment
from modalities.image.augment import SHIFT, Recipe
from modalities.image.corpus import Images

FRAME = (0.9, 0.1, 0.1)  # of the preview


def paired(
    corpus: Images,
    index: Index,
    side: int,
    rng: np.random.Generator,
    *,
    recipe: Recipe,
    aspect: Sequence[float],
    shifted: float,
) -> Tensor:
    """Two views of each sample, (2, N, 3, S, S).

    `aspect` is the range of width over height of a crop, `shifted` the share of small pictures that are moved.
    """
    count = 2 * len(index)
    draws = augment.draw(rng, count, corpus.side, recipe, side)
    if corpus.side == side <= 32:
        boxes = augment.shift_boxes(rng, count, side, SHIFT, shifted)
    else:
        boxes = augment.crop_boxes(rng, count, corpus.side, recipe.scale, aspect)
    draws = replace(draws, boxes=boxes, flips=np.tile(draws.flips[: len(index)], 2))
    return augment.render(corpus, np.tile(index, 2), draws, side).view(2, len(index), 3, side, side)


def check(method: str, aspect: Sequence[float], shifted: float, clip: float, penalty: float) -> None:
    """Raise ValueError, naming the key of this method, for what no view could follow and no loss could use."""
    for key, value, wrong, want in (
        ("aspect", aspect, len(aspect) != 2 or not 0 < aspect[0] <= aspect[1], "two ratios, 0 < from <= to"),
        ("shifted", shifted, not 0 <= shifted <= 1, "a probability, 0 to 1"),
        ("clip", clip, clip < 0, "a positive number, such as 20.0; 0 for none"),
        ("penalty", penalty, penalty < 0, "0 or more, such as 0.05"),
    ):
        if wrong:
            raise ValueError(f"{method}.model.{key} is {value}; use {want}")


def framed(images: Tensor, corner: Tensor, size: int) -> Tensor:
    """For people: images (n, 3, S, S) with a frame around `size` pixels from top and left (n, 2) on."""
    y, x = torch.meshgrid(torch.arange(images.shape[-2]), torch.arange(images.shape[-1]), indexing="ij")
    at = torch.stack([y, x]) - corner.view(-1, 2, 1, 1)  # (n, 2, S, S)
    inside = ((at >= 0) & (at < size)).all(1, keepdim=True)
    edge = inside & ((at == 0) | (at == size - 1)).any(1, keepdim=True)
    return torch.where(edge, torch.tensor(FRAME).view(1, 3, 1, 1), images)
