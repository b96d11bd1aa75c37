"""AMDIM: features of one view must find local features of another view of the same image, at several scales.

Bachman, Hjelm and Buchwalter, NeurIPS 2019, arXiv:1906.00910, after the authors' code.
N images, C channels, S side, D = encoder.dim.

The encoder is AMDIM's own, of which a local feature sees a window; the shared trunk is not used, only its side. The
vector finds the 5x5 and the 7x7 features of the other view, and one feature of 5x5, drawn for each view, those of 5x5.
Departures: the learning rate follows the project's schedule, and crops are of a picture stored larger than it is shown.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.base import Batch, Index, Pretext
from modalities.common.clipped_nce import LocalHead, clipped_nce
from modalities.image.augment import Recipe
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.networks.amdim_net import AmdimNet, window
from modalities.image.shared import paired_views, preview
from modalities.image.shared.paired_views import paired

FIVE = 5 * 5


class AMDIM(Pretext):
    corpus: Images
    encoder: AmdimNet

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        width: int,
        dim: int,
        depth: int,
        clip: float,
        penalty: float,
        recipe: dict[str, Any],
        aspect: list[float],
        shifted: float,
    ) -> None:
        super().__init__(encoder, corpus, built)
        paired_views.check("amdim", aspect, shifted, clip, penalty)
        self.clip, self.penalty = clip, penalty
        self.recipe, self.aspect, self.shifted = Recipe(**recipe), aspect, shifted
        self.encoder = AmdimNet(side=encoder.side, width=width, dim=dim, depth=depth)
        self.seven, self.five = LocalHead(self.encoder.wide, dim), LocalHead(self.encoder.wide, dim)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        views = paired(
            self.corpus, index, self.encoder.side, rng,
            recipe=self.recipe, aspect=self.aspect, shifted=self.shifted,
        )  # fmt: skip
        # Drawn here, so that ranks draw what one process would: the places of 5x5 that are sources, one a view.
        return {"views": views, "place": torch.from_numpy(rng.integers(FIVE, size=(len(index), 2)))}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        views, places = batch["views"], batch["place"]  # (2, N, C, S, S), (N, 2)
        maps = self.encoder.maps(views.flatten(0, 1))
        # Each (2, N, D, L): a view, an image, a feature, a place.
        seven, five, one = (
            x.flatten(2).unflatten(0, views.shape[:2]) for x in (self.seven(maps[0]), self.five(maps[1]), maps[2])
        )  # fmt: skip
        rows = torch.arange(views.shape[1], device=views.device)
        found = []
        for here, there in ((0, 1), (1, 0)):
            vector, local = one[here, ..., 0], five[here, rows, :, places[:, here]]
            for source, targets in ((vector, five), (vector, seven), (local, five)):
                found.append(clipped_nce(source, targets[there], self.clip))
        losses, squares, hits, chances = zip(*found, strict=True)
        # A sum over the three tasks, a mean over both directions.
        loss = (torch.stack(losses).sum() + self.penalty * torch.stack(squares).sum()) / 2
        chance = loss.new_tensor(sum(chances) / len(chances))
        return {"loss": loss, "accuracy": torch.stack(hits).mean(), "accuracy.chance": chance}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        first, second = self.batch(index, rng)["views"]
        corner, size = window(self.encoder.side, torch.from_numpy(rng.integers(7 * 7, size=len(index))))
        seen = torch.stack([
            image[:, y : y + size, x : x + size] for image, (y, x) in zip(second, corner.tolist(), strict=True)
        ])  # fmt: skip
        rows = {
            "image": self.encoder.read(self.corpus, index),
            "view 1 finds": first,
            "in view 2": paired_views.framed(second, corner, size),
            "this window": seen,
            "and not": seen.roll(1, 0),
        }
        preview.grid(out, rows)
