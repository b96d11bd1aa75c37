"""Multi-crop: two large views of a picture and some small ones, which cost a fraction (SwAV, arXiv:2006.09882).

N samples, V small views, S and s sides in pixels, D = encoder.dim.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.base import Batch, Encoder, Index
from modalities.image.augment import Recipe, draw, render, views
from modalities.image.corpus import Images

LARGE = 2
LEAST = 8  # pixels, as of any encoder


class MultiCrop:
    """How the views of a method are drawn: the block `crops` of `method` in params.yaml.

    `count` small views of `share` of the encoder's side. Raises ValueError for a number that makes no view.
    """

    def __init__(
        self,
        method: str,
        side: int,
        *,
        large: dict[str, Any],
        small: dict[str, Any],
        count: int,
        share: float,
    ) -> None:
        self.side, self.small_side, self.count = side, round(side * share), count
        if count < 0:
            raise ValueError(
                f"{method}.model.crops.count is {count}; use a number of small views, or 0 for none"
            )
        if not LEAST <= self.small_side <= side:
            raise ValueError(
                f"{method}.model.crops.share is {share}, which makes views of {self.small_side} pixels; use "
                f"{LEAST / side:.3g} ({LEAST} pixels) to 1 ({side})"
            )
        self.large, self.small = Recipe(**large), Recipe(**small)

    def batch(self, corpus: Images, index: Index, rng: np.random.Generator) -> Batch:
        """`views` (2, N, 3, S, S) and, where there are any, `small` (N, V, 3, s, s)."""
        found = {"views": views(corpus, index, self.side, rng, [self.large] * LARGE)}
        if self.count:
            draws = draw(rng, len(index) * self.count, corpus.side, self.small, self.small_side)
            small = render(corpus, np.repeat(index, self.count), draws, self.small_side, corpus.device)
            found["small"] = small.view(len(index), self.count, *small.shape[1:])
        return found


def encoded(encoder: Encoder, batch: Batch) -> Tensor:
    """Vectors of all views, the two large ones first, (2 + V, N, D): one forward pass a size."""
    sizes = [batch["views"]] + (
        [batch["small"].transpose(0, 1)] if "small" in batch else []
    )  # (2 or V, N, 3, S, S)
    return torch.cat([encoder(x.flatten(0, 1)).view(*x.shape[:2], -1) for x in sizes])


def rows(batch: Batch) -> dict[str, Tensor]:
    """The views as rows of a picture, by name; small ones in proportion, on white."""
    large = batch["views"]
    found = {f"view {k + 1}": view for k, view in enumerate(large)}
    for k, view in enumerate(batch["small"].unbind(1) if "small" in batch else []):
        sheet = torch.ones_like(large[0])
        start = (sheet.shape[-1] - view.shape[-1]) // 2
        sheet[..., start : start + view.shape[-2], start : start + view.shape[-1]] = view
        found[f"small {k + 1}"] = sheet
    return found
