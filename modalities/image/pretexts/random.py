"""Random: untrained weights. What every method must beat to be worth its training.

Supervised, but for no steps (`train: {samples: 0}`). Its labels are never read then.

With `calibrate`, batch norm takes its statistics from the data. That makes the untrained network more like a trained
one but, as measured on drawings and photographs, not a better one: a linear probe then finds four to eight points
less (docs/results.md), and every method would look better by as much. So the default is without.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from modalities.base import Batch, Encode, Index, Pretext
from modalities.common.calibration import calibrate
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder

BATCH = 256


class Random(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(self, encoder: ImageEncoder, corpus: Images, built: Path, *, calibrate: bool) -> None:
        super().__init__(encoder, corpus, built)
        self.calibrate = calibrate

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"image": crop_flip(self.corpus, index, self.encoder.side, rng)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        raise ValueError("random is not trained: set image.pretexts.random.train.samples to 0")

    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        """With `calibrate`, one label-free pass that sets batch-norm statistics to those of the data."""
        if self.calibrate:
            calibrate(self.encoder, self.corpus, np.arange(len(self.corpus)), BATCH)
        return []
