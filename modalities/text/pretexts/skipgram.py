"""Skip-gram: name the words around a word.

Mikolov et al. 2013, arXiv:1310.4546. The released program's rules, but for negatives that neighbouring words share:
see `modalities/text/shared/word_output.py`.
N blocks of B centre words, C words of a block with those around it, D = model.dim.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from modalities.base import Batch, Index, Pretext
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder, WordTable
from modalities.text.shared import windows
from modalities.text.shared.word_output import Softmax, WordOutput


class SkipGram(Pretext):
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
        super().__init__(table.learn(self.reader.packed.vocabulary, "skipgram"), corpus, built)
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
        centres = self.encoder.table(self.reader.centres(batch))  # (N, B, D)
        found: dict[str, Tensor] = self.output(
            centres, batch["words"], self.reader.context(batch), batch["negatives"]
        )
        return found

    def chance(self) -> dict[str, float]:
        return {"accuracy": self.output.chance(self.reader.occurs)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """One word of a sentence, and the words around it that it is asked for; the others are dim."""
        self.reader.preview(out, rng, centre="", context="asked")
