"""Random: untrained weights. What every method must beat to be worth its training.

Supervised, but for no steps (`train: {samples: 0}`). Its labels are never read then.

With `calibrate`, batch norm takes its statistics from the data. On the default clips that made the untrained network
better at carrying masks along and worse for a linear probe; the default is without, as for pictures.
N videos, T frames of each, S side.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from modalities.base import Batch, Encode, Index, Pretext
from modalities.common.calibration import calibrate
from modalities.video.augment import crop_flip, uniform
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.shared import preview

BATCH, ENOUGH = 32, 128  # videos at a time, and at most, whose statistics are taken


class Random(Pretext):
    corpus: Videos
    encoder: Frames

    def __init__(self, encoder: Frames, corpus: Videos, built: Path, *, calibrate: bool) -> None:
        super().__init__(encoder, corpus, built)
        self.calibrate = calibrate

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        preview.videos(out, self.corpus, rng)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        numbers = uniform(self.corpus.counts[index], self.encoder.frames)
        return {"clip": crop_flip(self.corpus, index, numbers, self.encoder.side, rng)}  # (N, 3, T, S, S)

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        raise ValueError("random is not trained: set video.pretexts.random.train.samples to 0")

    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        """With `calibrate`, one label-free pass that sets batch-norm statistics to those of some videos."""
        if self.calibrate:
            some = np.unique(np.linspace(0, len(self.corpus) - 1, ENOUGH).astype(np.int64))
            calibrate(self.encoder, self.corpus, some, BATCH)
        return []
