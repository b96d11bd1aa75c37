"""Random: untrained weights. What every method must beat to be worth its training.

Supervised, but for no steps (`train: {samples: 0}`). Its labels are never read then.

With `calibrate`, batch norm takes its statistics from the data. That makes the untrained network more like a trained
one but, as measured on drawings and photographs, not a better one: a linear probe then finds four to eight points
less (docs/results.md), and every method would look better by as much. So the default is without.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from modalities.base import Batch, Encode, Index, Pretext
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

    def forward(self, batch: Batch, player: int = 0) -> dict[str, torch.Tensor]:
        raise ValueError("random is not trained: set image.pretexts.random.train.samples to 0")

    @torch.no_grad()
    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        """With `calibrate`, one label-free pass that sets batch-norm statistics to those of the data."""
        norms = [m for m in self.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not self.calibrate or not norms:
            return []
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all batches
        training = self.encoder.training
        self.encoder.train()
        device = self.encoder.mean.device
        for rows in np.array_split(np.arange(len(self.corpus)), -(-len(self.corpus) // BATCH)):
            self.encoder(self.encoder.read(self.corpus, rows).to(device))
        self.encoder.train(training)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        return []
