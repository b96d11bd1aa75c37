"""A GRU that reads a sentence into its last state. The encoder of skip-thoughts (Kiros et al. 2015, arXiv:1506.06726).

N texts, L tokens, D = dim.
"""

from typing import Any

import torch
from torch import Tensor, nn

from modalities.text.networks.recurrent import reverse
from modalities.text.networks.text_encoder import Pool, TextEncoder


class SentenceGRU(TextEncoder):
    """D numbers of one direction, or D / 2 of each of two. Every text ends with the end token, so none is empty."""

    prefix = ""

    def __init__(self, *, size: dict[str, Any], pool: Pool, dim: int, word: int, both: bool) -> None:
        super().__init__(size, pool)
        if pool != "last":
            raise ValueError(f"text.encoder.pool is {pool}; a GRU's vector is its last state: use last")
        if both and dim % 2:
            raise ValueError(f"model.dim is {dim}; two directions share it, so use an even number")
        self.spec = {
            "class": "SentenceGRU",
            "size": size,
            "pool": pool,
            "dim": dim,
            "word": word,
            "both": both,
        }
        self.dim = dim
        self.table = nn.Embedding(self.size.rows, word)
        self.forwards = nn.GRU(word, dim // 2 if both else dim, batch_first=True)
        self.backwards = nn.GRU(word, dim // 2, batch_first=True) if both else None

    def states(self, x: Tensor) -> Tensor:
        words = self.table(x)  # (N, L, word)
        found = [self.forwards(words)[0]]
        if self.backwards is not None:
            length = (x != self.vocabulary.pad).sum(1)
            found.append(reverse(self.backwards(reverse(words, length))[0], length))
        return torch.cat(found, 2)

    def pooled(self, states: Tensor, x: Tensor) -> Tensor:
        """What each direction has read when it has read all: at the true end, and at the beginning."""
        last = super().pooled(states, x)
        if self.backwards is None:
            return last
        return torch.cat([last[:, : self.dim // 2], states[:, 0, self.dim // 2 :]], 1)
