"""A trunk with the head of masked words: what tasks on hidden words ask (BERT, arXiv:1810.04805).

N texts, L tokens, V entries, D = `dim`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from modalities.text.networks.text_encoder import Pool
from modalities.text.networks.trunk import Form, Trunk


class MaskedTrunk(Trunk):
    """The trunk, whose vectors are the same without the head: dense, gelu, norm, and the table of tokens with a bias.

    The head is trained by pretraining alone; other tasks, which have no gradient for it, leave it frozen.
    """

    def __init__(self, *, size: dict[str, Any], pool: Pool, form: Form, factor: int, share: bool) -> None:
        super().__init__(size=size, pool=pool, form=form, factor=factor, share=share)
        self.spec = self.spec | {"class": "MaskedTrunk"}
        width = self.embedding().shape[1]
        self.transform = nn.Sequential(nn.Linear(self.dim, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(self.size.rows))
        self.pretraining(False)

    def pretraining(self, on: bool) -> None:
        """Whether the head is to be trained: several processes want a gradient for all that is."""
        self.transform.requires_grad_(on)
        self.bias.requires_grad_(on)

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V): of each entry, to stand where the state is of."""
        entries = len(self.vocabulary)
        found: Tensor = self.transform(states) @ self.embedding()[:entries].T + self.bias[:entries]
        return found
