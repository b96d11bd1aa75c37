"""Rotation: say which quarter turn an image was given.

Gidaris, Singh and Komodakis, ICLR 2018, arXiv:1803.07728.
N images, T turns, C channels, S side, D = encoder.dim.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview


def turned(images: Tensor, turns: int) -> Tensor:
    """(N, C, S, S) -> (T*N, C, S, S): all turns of every image, exact transposes and flips, turn by turn."""
    return torch.cat([images.rot90(k * 4 // turns, (2, 3)) for k in range(turns)])


class Rotation(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(self, encoder: ImageEncoder, corpus: Images, built: Path, *, turns: int) -> None:
        super().__init__(encoder, corpus, built)
        if turns not in (2, 4):
            raise ValueError(f"rotation.model.turns is {turns}; use 2 or 4: other angles leave black corners")
        self.turns = turns
        self.head = nn.Linear(encoder.dim, turns)

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        images = self.batch(preview.some(self.corpus, rng), rng)["image"]
        rows = turned(images, self.turns).chunk(self.turns)
        preview.grid(out, {f"{k * 360 // self.turns}°": row for k, row in enumerate(rows)})

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"image": crop_flip(self.corpus, index, self.encoder.side, rng)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        images = batch["image"]  # (N, C, S, S)
        # Every turn of an image in one batch: the paper finds this better than one turn at random.
        target = torch.arange(self.turns, device=images.device).repeat_interleave(len(images))
        logits = self.head(self.encoder(turned(images, self.turns)))  # (T*N, T)
        accuracy = (logits.argmax(1) == target).float().mean()
        return {"loss": F.cross_entropy(logits, target), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / self.turns}
