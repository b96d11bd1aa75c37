"""Causal language model: name the next token, everywhere at once, from all before it.

Radford et al. 2018 and 2019 (GPT, GPT-2), Brown et al. 2020 (arXiv:2005.14165). Turing NLG and GPT-3 are this, only
wider, deeper and on more text. L = -mean over t of log P(x_t | x_<t).
N rows, L tokens of context, V entries.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import Decoder, Pool, TextEncoder
from modalities.text.shared import preview
from modalities.text.shared.guessing import prior
from modalities.text.shared.lengths import fitted
from modalities.text.shared.targets import scored
from modalities.text.vocabulary import Kind


class CausalLM(Pretext):
    corpus: Texts
    encoder: Decoder

    def __init__(self, encoder: TextEncoder, corpus: Texts, built: Path, *, pool: Pool) -> None:
        self.packed = packing.read(built)
        self.rows = np.asarray(self.packed.examples, np.int64)
        self.context = int(self.rows[0, 2])
        decoder = Decoder(size=fitted(encoder, self.context, "causal_lm"), pool=pool)
        own = self.packed.vocabulary
        super().__init__(decoder.learn(own, "causal_lm"), corpus, built)
        decoder.prior[: len(own)] = prior(self.packed.stream, len(own), end=own.end, ends=0)

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, kind: Kind, size: int, length: int
    ) -> None:
        packed = packing.write_whole(corpus, out, kind=kind, size=size, min_count=1)
        first = packing.stream(packed, length)
        context = min(length, len(packed.stream) - 1)
        last = np.maximum(np.minimum(first + length, len(packed.stream) - context) - 1, first)
        packing.keep(out, np.concatenate([first, last, np.full_like(first, context)], 1))

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """The text that is read, the token that is asked next, and what is hidden after it."""
        tokens = self.batch(preview.some(self.samples(), rng), rng)["token"].numpy()
        lines = []
        for row in tokens:
            read = len(row) // 2
            marks: list[preview.Mark] = ["hidden"] * len(row)
            marks[:read], marks[read] = [""] * read, "asked"
            lines.append(preview.pieces(row, marks, self.packed.vocabulary))
        preview.write(out, lines)

    def samples(self) -> int:
        return len(self.rows)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Blocks of L + 1 tokens of the stream, each begun anywhere within its own L tokens."""
        first, last, _ = self.rows[index].T
        start, width = rng.integers(first, last + 1), self.context + 1
        tokens = packing.rows(self.packed.stream, start, start + width, width, self.packed.vocabulary.pad)
        return {"token": from_numpy(tokens)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        token = batch["token"]  # (N, L + 1)
        return scored(self.encoder.logits(token[:, :-1]), token[:, 1:], smoothing=0.0)

    def chance(self) -> dict[str, float]:
        """Of always naming the commonest token."""
        counts = np.bincount(self.packed.stream)
        return {"accuracy": float(counts.max() / counts.sum())}
