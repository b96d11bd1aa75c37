"""Supervised: name the class. Not a pretext but the ceiling that pretexts are measured against.

Same trunk, vocabulary and budget as every method. It reads the labels of the corpus; a corpus without any is left for
the training splits of its tasks, all at once: each text is asked for its class among those of its own task.
N texts, L tokens, K classes over all tasks, D = encoder.dim.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts, joined
from modalities.text.encoders import TextEncoder
from modalities.text.shared.tokenised import Tokenised
from modalities.text.vocabulary import Kind


class Supervised(Pretext):
    corpus: Texts
    encoder: TextEncoder
    group: Tensor  # (K,), the task of each class

    def __init__(self, encoder: TextEncoder, corpus: Texts, built: Path) -> None:
        parts = [corpus] if (corpus.labels >= 0).any() else list(corpus.tasks().values())
        if not parts:
            raise ValueError(
                "supervised needs labels: name a labelled set in text.ingest.tasks, or take it out of run.text"
            )
        labelled = [
            part.take(np.flatnonzero((part.labels >= 0) & (part.splits == "train"))) for part in parts
        ]
        super().__init__(encoder.learn(packing.read(built).vocabulary, "supervised"), joined(labelled), built)
        self.head = nn.Linear(encoder.dim, len(self.corpus.classes))
        group = np.repeat(np.arange(len(parts)), [len(part.classes) for part in parts])
        self.register_buffer("group", from_numpy(group))
        self.tokenised = Tokenised(self.encoder, self.corpus)

    @classmethod
    def build(cls, corpus: Texts, out: Path, *, seed: int, kind: Kind, size: int) -> None:  # type: ignore[override]
        packing.write(corpus, out, kind=kind, size=size, min_count=1)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"text": self.tokenised.rows(index), "label": from_numpy(self.corpus.labels[index])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        label = batch["label"]  # (N,)
        logits = self.head(self.encoder(batch["text"]))  # (N, K)
        asked = self.group == self.group[label][:, None]  # (N, K)
        logits = logits.masked_fill(~asked, -torch.inf)
        accuracy = (logits.argmax(1) == label).float().mean()
        return {"loss": F.cross_entropy(logits, label), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        """Of always naming the commonest class of the text's own task."""
        counts = np.bincount(self.corpus.labels, minlength=len(self.group))
        group = self.group.cpu().numpy()
        best = [counts[group == task].max() for task in np.unique(group)]
        return {"accuracy": float(sum(best) / len(self.corpus))}
