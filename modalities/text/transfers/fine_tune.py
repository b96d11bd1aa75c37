"""Fine-tune: train the whole encoder, under a fresh linear head, on a share of the labels of each set.

As in BERT and GLUE (arXiv:1810.04805), on nested, class-balanced shares of the labels; the head learns faster than the
trunk, and the number of steps is the same for every share. Fine-tuning the encoder of the untrained method `random` is
exactly training from scratch on those labels: the curve all others must lie above.
N texts, L tokens, K classes, D = encoder.dim.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common.chance import commonest
from modalities.common.embedding import embedded
from modalities.common.fractions import check, covered, percent, subset
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder
from modalities.text.shared.tokenised import Tokenised

Fit = Callable[
    ..., object
]  # `fit(pretext, label=..., **changes)`: the training loop, bound to a stage's settings


class FineTune(Pretext):
    """The supervised task on a few labelled texts. Its head starts at zero, so nothing is drawn."""

    corpus: Texts
    encoder: TextEncoder

    def __init__(
        self, encoder: TextEncoder, corpus: Texts, built: Path, *, batch: int, head_lr: float
    ) -> None:
        super().__init__(encoder, corpus, built)
        self.head = nn.Linear(encoder.dim, len(corpus.classes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        for parameter in self.head.parameters():
            parameter.lr_scale = head_lr  # type: ignore[attr-defined]
        self.repeats = -(-batch // len(corpus))
        self.tokenised = Tokenised(encoder, corpus)

    def samples(self) -> int:
        """Where there are fewer texts than a batch has places, each is numbered several times."""
        return len(self.corpus) * self.repeats

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        rows = index % len(self.corpus)
        return {"text": self.tokenised.rows(rows), "label": from_numpy(self.corpus.labels[rows])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        logits = self.head(self.encoder(batch["text"]))  # (N, K)
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}

    @torch.inference_mode()
    def answers(self, test: Texts) -> Index:
        """(n,) the class named for each text, in evaluation mode."""
        self.eval()
        where = self.head.weight.device
        found = np.empty(len(test), np.int64)
        for rows, vectors in embedded(self.encoder, test, np.arange(len(test)), where):
            found[rows] = self.head(vectors).argmax(1).cpu().numpy()
        return found


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Fit,
    out: Path,
    *,
    seed: int,
    fractions: list[float],
    samples: int,
    batch: int,
    optimizer: str,
    lr: float,
    weight_decay: float,
    head_lr: float,
) -> dict[str, float]:
    """Accuracy and macro F1 on the test split, after fine-tuning on each fraction of each labelled set.

    The encoder that is passed in stays as it is. A fraction is the same texts as the first draw of the probe `labels`
    with this seed. `lr` is the trunk's; the head's is `head_lr` times that.
    """
    check(fractions)
    found: dict[str, float] = {}
    for name, each in sets(corpus).items():
        train, test = labelled(each, "train"), labelled(each, "test")
        covered(train.labels, test.labels, each.classes)
        for fraction in fractions:
            few = train.take(subset(train.labels, train.ids, fraction, seed=seed, draw=0))
            tuned = FineTune(copy.deepcopy(encoder), few, Path(), batch=batch, head_lr=head_lr)
            label = f"fine_tune {name}{percent(fraction)}"
            fit(
                tuned, label=label, samples=samples, batch=batch, optimizer=optimizer, lr=lr,
                weight_decay=weight_decay,
            )  # fmt: skip
            answers = tuned.answers(test)
            share = percent(fraction)
            found |= {
                f"{name}accuracy@{share}": float(np.mean(answers == test.labels)),
                f"{name}accuracy@{share}.chance": commonest(test.labels),
                f"{name}f1@{share}": macro_f1(answers, test.labels),
            }
    return found


def sets(corpus: Texts) -> dict[str, Texts]:
    """What has labels: the corpus, as "", and each of its tasks, as "name/"."""
    own = {"": corpus} if (corpus.labels >= 0).any() else {}
    return own | {f"{name}/": each for name, each in corpus.tasks().items()}


def labelled(corpus: Texts, split: str) -> Texts:
    rows = np.flatnonzero((corpus.splits == split) & (corpus.labels >= 0))
    if not len(rows):
        raise ValueError(f"the {split} split has no labelled text; add labels, or set `transfers: {{}}`")
    return corpus.take(rows)


def macro_f1(answers: Index, truth: Index) -> float:
    """The mean over the classes of `truth` of 2 · right / (named + true)."""
    kinds = np.unique(truth)
    right = np.array([np.sum((answers == kind) & (truth == kind)) for kind in kinds])
    both = np.array([np.sum(answers == kind) + np.sum(truth == kind) for kind in kinds])
    return float(np.mean(2 * right / both))
