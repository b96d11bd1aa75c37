"""CBOW: name a word from the mean of the words around it.

Mikolov et al. 2013, arXiv:1301.3781. The released program's rules, with two departures: negatives that neighbouring
words share, see `modalities/text/shared/word_output.py`; and each word around gets its share of the mean's gradient,
where the program gives it the whole.
N blocks of B centre words, C words of a block with those around it, D = model.dim.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modalities.base import Batch, Index, Pretext
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder, WordTable
from modalities.text.shared import windows
from modalities.text.shared.word_output import Softmax, WordOutput


class CBOW(Pretext):
    corpus: Texts
    encoder: WordTable

    def __init__(
        self,
        encoder: TextEncoder,
        corpus: Texts,
        built: Path,
        *,
        dim: int,
        window: int,
        subsample: float,
        softmax: Softmax,
        negatives: int,
        pool: int,
    ) -> None:
        self.reader = windows.Reader(built, window=window, subsample=subsample, pool=pool)
        table = WordTable(size=encoder.spec["size"], pool="mean", dim=dim)
        super().__init__(table.learn(self.reader.packed.vocabulary, "cbow"), corpus, built)
        self.output = WordOutput(self.reader.occurs, table.size.rows, dim, softmax, negatives)

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, size: int, min_count: int
    ) -> None:
        windows.build(corpus, out, size=size, min_count=min_count)

    def samples(self) -> int:
        """A sample is a sentence."""
        return len(self.reader.packed.examples)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return self.reader.batch(index, rng)

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        context = self.reader.context(batch)  # (N, B, C)
        vectors = self.encoder.table(batch["words"])  # (N, C, D)
        count = context.sum(2, keepdim=True)  # (N, B, 1)
        means = context.to(vectors.dtype) @ vectors / count.clamp_min(1)  # (N, B, D)
        # Each mean is asked for its own centre, where there is a word around it at all.
        asked = torch.eye(windows.BLOCK, dtype=torch.bool, device=count.device) & (count > 0)  # (N, B, B)
        found: dict[str, Tensor] = self.output(means, self.reader.centres(batch), asked, batch["negatives"])
        return found

    def chance(self) -> dict[str, float]:
        return {"accuracy": self.output.chance(self.reader.occurs)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """The words around one word of a sentence, from which it is asked; the others are dim."""
        self.reader.preview(out, rng, centre="asked", context="")
