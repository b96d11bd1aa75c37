"""What asks a vector for words: against words drawn by their frequency, or along a Huffman tree.

Mikolov et al. 2013, arXiv:1310.4546. Negatives are drawn for a block of neighbouring centres together, `pool` of them,
and each weighs negatives / pool (Ji et al. 2016, arXiv:1604.04661): the loss of a pair has the same mean, and a step is
a few products of matrices in place of thousands of small ones.
N blocks of B vectors, C words of a block, M = pool, D numbers a vector, V entries of the vocabulary.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Index
from modalities.text.shared import targets, windows

Softmax = Literal["negative", "hierarchical"]


class WordOutput(nn.Module):
    """Output vectors, of words or of inner nodes of the tree; they start at zero."""

    nodes: Tensor  # (V, depth), the inner nodes above each word, from the root
    turns: Tensor  # (V, depth), +1 or -1 at each, 0 past the end

    def __init__(self, occurs: Index, rows: int, dim: int, softmax: Softmax, negatives: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, dim)
        nn.init.zeros_(self.table.weight)
        self.negatives = negatives
        self.hierarchical = softmax == "hierarchical"
        nodes, turns = windows.huffman(occurs if self.hierarchical else occurs[:0])
        # Both follow from the counts, so no checkpoint needs them.
        self.register_buffer("nodes", from_numpy(nodes), persistent=False)
        self.register_buffer("turns", from_numpy(turns), persistent=False)

    def forward(self, vectors: Tensor, words: Tensor, asked: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """(N, B, D), (N, C), (N, B, C) whether a vector is asked for a word, (N, M) -> means over all that is asked.

        `accuracy`: of telling real words from drawn ones, half and half; in a tree, of taking every turn rightly.
        """
        found = self._tree if self.hierarchical else self._sampled
        lost, right = found(vectors, words, asked, negatives)
        count = targets.share(asked.sum())
        return {"loss": lost / count, "accuracy": right / count}

    def _sampled(
        self, vectors: Tensor, words: Tensor, asked: Tensor, negatives: Tensor
    ) -> tuple[Tensor, Tensor]:
        table = self.table(
            torch.cat([words, negatives], 1)
        )  # (N, C + M, D): one scatter of gradients, not two
        real, drawn = (vectors @ table.mT).split(
            [words.shape[1], negatives.shape[1]], 2
        )  # (N, B, C), (N, B, M)
        # A negative counts once for each word that its vector is asked for, but for those that it equals.
        other = (words[:, :, None] != negatives[:, None, :]).to(vectors.dtype)  # (N, C, M)
        weight = asked.to(vectors.dtype) @ other / negatives.shape[1]  # (N, B, M)
        lost = F.softplus(-real[asked]).sum() + self.negatives * (F.softplus(drawn) * weight).sum()
        with torch.no_grad():
            right = ((real > 0) & asked).sum() + ((drawn < 0) * weight).sum()
        return lost, right / 2

    def _tree(
        self, vectors: Tensor, words: Tensor, asked: Tensor, negatives: Tensor
    ) -> tuple[Tensor, Tensor]:
        turns = self.turns[words][:, None]  # (N, 1, C, depth)
        score = torch.einsum("nbd,ncpd->nbcp", vectors, self.table(self.nodes[words])) * turns
        lost = (F.softplus(-score) * turns.abs()).sum(3)[asked].sum()
        right = ((score > 0) | (turns == 0)).all(3) & asked
        return lost, right.sum()

    def chance(self, occurs: Index) -> float:
        """Accuracy of calling every word real; of taking the commoner branch at each turn, which ends at one word."""
        if not self.hierarchical:
            return 0.5
        last = (self.turns.cpu().numpy() <= 0).all(1)
        return float(np.sum(occurs[last]) / np.sum(occurs))
