"""A word's vector from its characters: convolutions of several widths, their maxima, two highway layers.

Kim et al. 2016 (arXiv:1508.06615), as in ELMo (arXiv:1802.05365): a word is its UTF-8 bytes between two marks.
V entries of the vocabulary, K words, B = LONGEST bytes with their marks, P numbers a word.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.text.vocabulary import Vocabulary

LONGEST = 24  # bytes of a word, with both marks; 50 in the paper, whose words have no least count
BYTE = 16  # numbers a byte
BEGIN, END, SPECIAL, PAD = (
    256,
    257,
    258,
    259,
)  # marks beyond the 256 bytes; a special token is one byte of its own
WIDEST = 7


class CharacterCNN(nn.Module):
    """Numbers of words to vectors. There are 8 w filters of width w, from 1 to 7."""

    spelled: Tensor  # (rows, B)

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        # Follows from the vocabulary, which travels with the encoder.
        self.register_buffer("spelled", torch.full((rows, LONGEST), PAD), persistent=False)
        self.table = nn.Embedding(SPECIAL + 2 + 256, BYTE)
        widths = range(1, WIDEST + 1)
        self.filters = nn.ModuleList(nn.Conv1d(BYTE, 8 * width, width) for width in widths)
        total = sum(8 * width for width in widths)
        self.highways = nn.ModuleList(nn.Linear(total, 2 * total) for _ in range(2))
        for highway in self.highways:
            nn.init.constant_(highway.bias[total:], 1.0)  # type: ignore[index]  # at first what comes in is carried on
        self.project = nn.Linear(total, dim)

    def learn(self, vocabulary: Vocabulary) -> None:
        """Spell every entry of a vocabulary."""
        own = np.full(self.spelled.shape, PAD, np.int64)
        for k, entry in enumerate(vocabulary.entries):
            text = list(entry.encode())[: LONGEST - 2] if k >= vocabulary.specials else [SPECIAL + 2 + k]
            own[k, : len(text) + 2] = [BEGIN, *text, END]
        self.spelled.copy_(torch.from_numpy(own))

    def forward(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, L, P). Each word that occurs is computed once."""
        kinds, where = torch.unique(x, return_inverse=True)
        letters = self.table(self.spelled[kinds]).mT  # (K, BYTE, B)
        found = torch.cat([F.relu(each(letters).amax(2)) for each in self.filters], 1)
        for highway in self.highways:
            made, gate = highway(found).chunk(2, 1)
            found = torch.lerp(F.relu(made), found, gate.sigmoid())
        vectors: Tensor = self.project(found)[where]
        return vectors
