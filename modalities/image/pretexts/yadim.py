"""YADIM: a place of one view's last feature map must find all places of the other view's, with any encoder.

Falcon and Cho 2020, arXiv:2009.00104: AMDIM without its network and its scales. Its loss with the last map alone, views
of AMDIM, and CPC's dropping of channels patch by patch.
N images, C channels, S side, D dimensions of the projection, h and w the places of the last map, L = hw.

The paper leaves much of this open; what is here is a reading of it. The source is a random place of a view and, with
`pooled`, the mean of its places too. A share of the views lose channels, each of their 4x4 patches its own two.
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
from modalities.image.shared import paired_views, preview
from modalities.image.shared.channel_drop import drop, kept
from modalities.image.shared.paired_views import paired

PATCHES = 4  # a row and a column: what keeps one channel is a sixteenth of the picture


class YADIM(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        dim: int,
        pooled: bool,
        clip: float,
        penalty: float,
        recipe: dict[str, Any],
        aspect: list[float],
        shifted: float,
        drop: float,
    ) -> None:
        super().__init__(encoder, corpus, built)
        paired_views.check("yadim", aspect, shifted, clip, penalty)
        if dim < 1:
            raise ValueError(f"yadim.model.dim is {dim}; use at least 1")
        if not 0 <= drop <= 1:
            raise ValueError(f"yadim.model.drop is {drop}; use a probability, 0 to 1")
        self.pooled, self.clip, self.penalty, self.drop = pooled, clip, penalty, drop
        self.recipe, self.aspect, self.shifted = Recipe(**recipe), aspect, shifted
        channels, self.rows, self.columns = last_map(encoder)
        self.head = LocalHead(channels, dim)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        views = paired(
            self.corpus, index, self.encoder.side, rng,
            recipe=self.recipe, aspect=self.aspect, shifted=self.shifted,
        )  # fmt: skip
        # Drawn here, so that ranks draw what one process would: which places are sources, one a view.
        places = rng.integers(self.rows * self.columns, size=(len(index), 2))
        return {
            "views": self.dropped(views.flatten(0, 1), rng).view_as(views),
            "place": torch.from_numpy(places),
        }

    def dropped(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """A share of these images (M, 3, S, S), with one channel kept in each of their patches."""
        robbed = torch.from_numpy(rng.random((len(images), 1, 1)) < self.drop).expand(-1, PATCHES, PATCHES)
        stay = kept(robbed, rng).permute(0, 3, 1, 2)  # (M, 3, 4, 4)
        side = images.shape[-1]
        cell = torch.arange(side) * PATCHES // side  # of each line
        return drop(images, stay[:, :, cell][..., cell], self.encoder.mean)

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        views, places = batch["views"], batch["place"]  # (2, N, C, S, S), (N, 2)
        maps = self.head(self.encoder.maps(views.flatten(0, 1))[-1])
        local = maps.flatten(2).unflatten(0, views.shape[:2])  # (2, N, D, L)
        rows = torch.arange(views.shape[1], device=views.device)
        found = []
        for here, there in ((0, 1), (1, 0)):
            sources = [local[here, rows, :, places[:, here]]]
            if self.pooled:
                sources.append(local[here].mean(2))
            found += [clipped_nce(source, local[there], self.clip) for source in sources]
        losses, squares, hits, chances = zip(*found, strict=True)
        # A sum over the tasks, a mean over both directions.
        loss = (torch.stack(losses).sum() + self.penalty * torch.stack(squares).sum()) / 2
        return {
            "loss": loss,
            "accuracy": torch.stack(hits).mean(),
            "accuracy.chance": loss.new_tensor(chances[0]),
        }

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        batch = self.batch(index, rng)
        first, second = batch["views"]
        side, place = self.encoder.side, batch["place"][:, 0]
        cell = -(-side // self.rows)
        corner = torch.stack([place // self.columns, place % self.columns], 1) * side // self.rows
        rows = {
            "image": self.encoder.read(self.corpus, index),
            "this place": paired_views.framed(first, corner, cell),
            "finds": second,
            "and not": second.roll(1, 0),
        }
        preview.grid(out, rows)


@torch.no_grad()
def last_map(encoder: ImageEncoder) -> tuple[int, int, int]:
    """Channels, rows and columns of an encoder's last map. Raises ValueError where it has no maps."""
    training = encoder.training
    try:
        last = encoder.eval().maps(torch.zeros(1, 3, encoder.side, encoder.side))[-1]
    except NotImplementedError:
        message = "yadim compares places of maps, but image.encoder.arch has none; use resnet18, 34 or 50"
        raise ValueError(message) from None
    finally:
        encoder.train(training)
    return last.shape[1], last.shape[2], last.shape[3]
