"""Supervised: name the class. Not a pretext but the ceiling that pretexts are measured against.

Same encoder, videos and budget as every method; reads the labels of the training split.
N videos, T frames of each, K classes, S side, D = encoder.dim.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.video.augment import crop_flip, uniform
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.shared import preview


class Supervised(Pretext):
    corpus: Videos
    encoder: Frames

    def __init__(self, encoder: Frames, corpus: Videos, built: Path) -> None:
        labelled = np.flatnonzero(corpus.labels >= 0)
        if not len(labelled):
            raise ValueError("supervised needs labels; take it out of run.video, or set video.ingest.labels")
        super().__init__(encoder, corpus.take(labelled), built)
        self.head = nn.Linear(encoder.dim, len(corpus.classes))

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        preview.videos(out, self.corpus, rng)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        numbers = uniform(self.corpus.counts[index], self.encoder.frames)
        clips = crop_flip(self.corpus, index, numbers, self.encoder.side, rng)  # (N, 3, T, S, S)
        return {"clip": clips, "label": from_numpy(self.corpus.labels[index])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        logits = self.head(self.encoder(batch["clip"]))  # (N, K)
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        shares = np.bincount(self.corpus.labels) / len(self.corpus)
        return {"accuracy": float(shares.max())}
