"""Supervised: name the class. Not a pretext but the ceiling that pretexts are measured against.

Same encoder, pictures and budget as every method; reads the labels of the training split.
N images, K classes, S side, D = encoder.dim.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder


class Supervised(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(self, encoder: ImageEncoder, corpus: Images, built: Path) -> None:
        labelled = np.flatnonzero(corpus.labels >= 0)
        if not len(labelled):
            raise ValueError("supervised needs labels; take it out of run.image, or set image.ingest.labels")
        super().__init__(encoder, corpus.take(labelled), built)
        self.head = nn.Linear(encoder.dim, len(corpus.classes))

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        images = crop_flip(self.corpus, index, self.encoder.side, rng)
        return {"image": images, "label": from_numpy(self.corpus.labels[index])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        logits = self.head(self.encoder(batch["image"]))  # (N, K)
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        shares = np.bincount(self.corpus.labels) / len(self.corpus)
        return {"accuracy": float(shares.max())}
