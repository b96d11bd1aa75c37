"""Sentence pair: does the second segment truly follow the first?

Next sentence prediction of BERT (arXiv:1810.04805; `negative: random`), sentence order prediction of ALBERT
(arXiv:1909.11942; `swap`), both as in StructBERT (arXiv:1908.04577; `three`). Alone it learns topics (random) or
connectives (swap), little else; `masked_words` takes it beside its own loss.
N pairs, L tokens, D = encoder.dim.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import Pool, Trunk
from modalities.text.shared import preview
from modalities.text.shared.lengths import fitted
from modalities.text.shared.pairs import LABELS, Negative, Pairs, spans
from modalities.text.vocabulary import Kind


class SentencePair(Pretext):
    corpus: Texts
    encoder: Trunk

    def __init__(self, encoder: Trunk, corpus: Texts, built: Path, *, negative: Negative, pool: Pool) -> None:
        packed = packing.read(built)
        self.pairs = Pairs(packed, negative)
        # Only the first token's vector is trained to know both segments, so it is what a text's vector should be.
        trunk: Trunk = encoder.like(size=fitted(encoder, self.pairs.room + 3, "sentence_pair"), pool=pool)  # type: ignore[assignment]
        super().__init__(trunk.learn(packed.vocabulary, "sentence_pair"), corpus, built)
        self.names = LABELS[negative]
        dim = trunk.dim
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, len(self.names)))

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, kind: Kind, size: int, length: int, short: float
    ) -> None:
        packed = packing.write(corpus, out, kind=kind, size=size, min_count=1)
        packing.keep(out, spans(packed, length, short, np.random.default_rng(seed)))

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Both segments, and what is asked of them with its answer."""
        drawn = self.pairs.draw(preview.some(self.samples(), rng), rng)
        lines = []
        for k, row in enumerate(self.pairs.tokens(drawn)):
            line = preview.pieces(row, [""] * len(row), self.pairs.packed.vocabulary)
            lines.append([*line, (self.names[drawn.label[k]], "asked")])
        preview.write(out, lines)

    def samples(self) -> int:
        return len(self.pairs)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        drawn = self.pairs.draw(index, rng)
        return {"token": from_numpy(self.pairs.tokens(drawn)), "label": from_numpy(drawn.label)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        label = batch["label"]  # (N,)
        logits = self.head(self.encoder.states(batch["token"])[:, 0])  # (N, 2 or 3)
        right = (logits.argmax(1) == label).float()
        found = {"loss": F.cross_entropy(logits, label), "accuracy": right.mean()}
        for k, name in enumerate(self.names):
            mine = label == k
            found[name] = right[mine].sum() / mine.sum().clamp_min(1)
        return found

    def chance(self) -> dict[str, float]:
        return dict.fromkeys(("accuracy", *self.names), 1 / len(self.names))
