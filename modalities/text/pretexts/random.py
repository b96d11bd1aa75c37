"""Random: untrained weights. What every method must beat to be worth its training.

The shared trunk with a vocabulary of the corpus, for no steps (`train: {samples: 0}`).
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder
from modalities.text.vocabulary import Kind


class Random(Pretext):
    corpus: Texts
    encoder: TextEncoder

    def __init__(self, encoder: TextEncoder, corpus: Texts, built: Path) -> None:
        super().__init__(encoder.learn(packing.read(built).vocabulary, "random"), corpus, built)

    @classmethod
    def build(cls, corpus: Texts, out: Path, *, seed: int, kind: Kind, size: int) -> None:  # type: ignore[override]
        packing.write(corpus, out, kind=kind, size=size, min_count=1)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"text": self.encoder.read(self.corpus, index)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        raise ValueError("random is not trained: set text.pretexts.random.train.samples to 0")
