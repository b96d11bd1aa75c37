"""A table of word vectors; a text is the mean of its known words. What word2vec leaves behind.

N texts, L tokens, D = dim.
"""

from typing import Any

import torch
from torch import Tensor, nn

from modalities.text.networks.text_encoder import Pool, TextEncoder


class WordTable(TextEncoder):
    """One vector a word. Special tokens, and with them unknown words, count for nothing: a text of none is zero."""

    prefix = suffix = ""

    def __init__(self, *, size: dict[str, Any], pool: Pool, dim: int) -> None:
        super().__init__(size, pool)
        if pool != "mean":
            raise ValueError(f"text.encoder.pool is {pool}; a table of words has no order: use mean")
        self.spec = {"class": "WordTable", "size": size, "pool": pool, "dim": dim}
        self.dim = dim
        self.table = nn.Embedding(self.size.rows, dim)
        nn.init.uniform_(self.table.weight, -0.5 / dim, 0.5 / dim)

    def states(self, x: Tensor) -> Tensor:
        found: Tensor = self.table(x)
        return found

    def pooled(self, states: Tensor, x: Tensor) -> Tensor:
        known = (x >= self.vocabulary.specials).to(states.dtype)  # (N, L)
        return torch.einsum("nl,nld->nd", known, states) / known.sum(1, keepdim=True).clamp_min(1)

    def words(self) -> dict[str, Tensor]:
        own, weight = self.vocabulary, self.table.weight.detach()
        return {own.entries[k]: weight[k] for k in range(own.specials, len(own))}
