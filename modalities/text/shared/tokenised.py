"""A set of texts tokenised once, so that a batch of them is rows of a table."""

import numpy as np
import torch
from torch import Tensor

from modalities.base import Index
from modalities.text.corpus import Texts
from modalities.text.networks.text_encoder import TextEncoder

PART = 4096  # texts tokenised at a time


class Tokenised:
    """N texts as one encoder eats them. It is no part of a method's state: the same corpus gives it again."""

    def __init__(self, encoder: TextEncoder, corpus: Texts) -> None:
        own = encoder.vocabulary
        parts = [
            encoder.read(corpus, rows).numpy().astype(np.uint16 if len(own) <= 1 << 16 else np.uint32)
            for rows in np.split(np.arange(len(corpus)), range(PART, len(corpus), PART))
        ]
        width = max(part.shape[1] for part in parts)
        self.table = np.full((len(corpus), width), own.pad, parts[0].dtype)
        for k, part in enumerate(parts):
            self.table[k * PART : k * PART + len(part), : part.shape[1]] = part
        self.lengths = np.maximum(1, (self.table != own.pad).sum(1))

    def rows(self, index: Index) -> Tensor:
        """(n, L) token ids, as wide as the longest."""
        width = int(self.lengths[index].max(initial=1))
        return torch.from_numpy(self.table[index, :width].astype(np.int64))
