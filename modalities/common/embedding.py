"""What an encoder makes of samples as they are: for health, clustering and probes alike."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.base import Encoder, Index

# Products of weights that have decayed to denormal numbers are a hundred times slower on a CPU. Threads inherit this,
# so whatever runs an encoder sets it, by importing this, before torch makes any.
torch.set_flush_denormal(True)

READ = 256  # samples encoded at a time


def embedded(
    encoder: Encoder, corpus: Any, index: Index, where: torch.device
) -> Iterator[tuple[Index, Tensor]]:
    """Parts of `index` with their vectors, (n, D) float32: no augmentation, no gradient, in evaluation mode.

    The encoder is put back into the mode it was in.
    """
    training = encoder.training
    encoder.eval()
    for part in np.array_split(index, max(1, -(-len(index) // READ))):
        with torch.no_grad():
            vectors = encoder(encoder.read(corpus, part).to(where)).float()
        yield part, vectors
    encoder.train(training)
