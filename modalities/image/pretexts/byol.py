"""BYOL: predict what a slowly moving twin makes of another view of the image; there are no negatives.

Grill et al., NeurIPS 2020, arXiv:2006.07733. The loss is the sum over both orders of the views, as in the paper: twice
what code that takes the mean reports. The twin norms by its own batches, in training mode.

A network that gives every image the same vector has a loss of 0, so the loss is no sign of health. Of help are the
spread and the rank that the loop logs, and `accuracy`, the share of predictions to which, of the targets of the batch,
their own is the nearest: a collapsed network is at chance, 1 over the batch.

N images, C channels, S side, D = encoder.dim, P projected dimensions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed, ema, heads
from modalities.common.distributed import unit
from modalities.common.info_nce import nearest
from modalities.image.augment import Recipe, views
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview


def regression(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of unit-length rows (N, P): 2 - 2 cosine. Equation 2 of the paper."""
    return 2 - 2 * (prediction * target).sum(1).mean()


class BYOL(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        hidden: int,
        dim: int,
        momentum: float,
        momentum_end: float,
        recipes: list[dict[str, Any]],
    ) -> None:
        super().__init__(encoder, corpus, built)
        ema.check("byol", momentum, momentum_end)
        if len(recipes) != 2:
            raise ValueError(
                f"byol.model.recipes has {len(recipes)} entries; give one for each of the two views"
            )
        self.momentum, self.momentum_end = momentum, momentum_end
        self.recipes = [Recipe(**recipe) for recipe in recipes]
        self.projector = heads.mlp(encoder.dim, hidden, dim, norm=True, last="plain")
        self.predictor = heads.mlp(dim, hidden, dim, norm=True, last="plain")
        self.teacher = ema.twin(nn.Sequential(self.encoder, self.projector))

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"views": views(self.corpus, index, self.encoder.side, rng, self.recipes)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        first, second = self.batch(index, rng)["views"]
        preview.grid(
            out, {"image": self.encoder.read(self.corpus, index), "shown": first, "to predict": second}
        )

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        pair = batch["views"]  # (2, N, C, S, S)
        count = pair.shape[1] * distributed.world()
        if self.training and count < 2:
            raise ValueError(f"train.batch is {count}; byol needs at least 2 pictures for its batch norm")
        predictions = [
            unit(self.predictor(self.projector(self.encoder(view)))) for view in pair
        ]  # each (N, P)
        with torch.no_grad():
            targets = [unit(self.teacher(view)) for view in pair]
        ways = list(zip(predictions, targets[::-1], strict=True))
        accuracy = torch.stack([nearest(*way) for way in ways]).mean()
        return {"loss": regression(*ways[0]) + regression(*ways[1]), "accuracy": accuracy}

    def after_step(self, progress: float) -> None:
        momentum = ema.cosine(self.momentum, self.momentum_end, progress)
        ema.update(self.teacher, nn.Sequential(self.encoder, self.projector), momentum)
