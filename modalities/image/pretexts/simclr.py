"""SimCLR: two augmented views of an image must find each other among all other views of the batch.

Chen, Kornblith, Norouzi and Hinton, ICML 2020, arXiv:2002.05709.
N images, C channels, S side, D = encoder.dim, P projected dimensions.
"""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed, heads
from modalities.common.distributed import unit
from modalities.common.info_nce import nt_xent
from modalities.image.augment import Recipe, views
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview


class SimCLR(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        temperature: float,
        dim: int,
        recipe: dict[str, Any],
    ) -> None:
        super().__init__(encoder, corpus, built)
        if temperature <= 0:
            raise ValueError(f"simclr.model.temperature is {temperature}; use a positive number, such as 0.5")
        self.temperature = temperature
        self.recipe = Recipe(**recipe)
        # Batch norm after each linear layer, as in the authors' code; the paper's text leaves it out.
        self.head = heads.mlp(encoder.dim, encoder.dim, dim, norm=True, last="norm")

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"views": views(self.corpus, index, self.encoder.side, rng, [self.recipe] * 2)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        first, second = self.batch(index, rng)["views"]
        preview.grid(out, {"image": self.encoder.read(self.corpus, index), "view 1": first, "view 2": second})

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        pairs = batch["views"]  # (2, N, C, S, S)
        first, second = unit(self.head(self.encoder(pairs.flatten(0, 1)))).chunk(2)  # each (N, P)
        loss, accuracy = nt_xent(first, second, self.temperature)
        chance = loss.new_tensor(1 / (2 * pairs.shape[1] * distributed.world() - 1))
        return {"loss": loss, "accuracy": accuracy, "accuracy.chance": chance}
