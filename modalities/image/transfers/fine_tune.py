"""Fine-tune: train the whole encoder, under a fresh linear head, on a share of the labels.

As in SimCLR and SwAV (arXiv:2002.05709, 2006.09882): label fractions are class-balanced and nested, the head learns
faster than the trunk, and the number of steps is the same for every fraction. Fine-tuning the encoder of the
untrained method `random` is exactly training from scratch on those labels: the curve all others must lie above.
N images, K classes, D = encoder.dim.
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
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder

Fit = Callable[
    ..., object
]  # `fit(pretext, label=..., **changes)`: the training loop, bound to a stage's settings

FEW = 0.1  # below this share of the labels batch norm keeps the statistics of pretraining


class FineTune(Pretext):
    """The supervised task on a few labelled pictures. Its head starts at zero, so nothing is drawn."""

    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self, encoder: ImageEncoder, corpus: Images, built: Path, *, batch: int, head_lr: float, frozen: bool
    ) -> None:
        super().__init__(encoder, corpus, built)
        self.head = nn.Linear(encoder.dim, len(corpus.classes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        for parameter in self.head.parameters():
            parameter.lr_scale = head_lr  # type: ignore[attr-defined]
        self.repeats = -(-batch // len(corpus))
        self.frozen = frozen

    def samples(self) -> int:
        """Where there are fewer pictures than a batch has places, each is numbered several times."""
        return len(self.corpus) * self.repeats

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        rows = index % len(self.corpus)
        images = crop_flip(self.corpus, rows, self.encoder.side, rng)
        return {"image": images, "label": from_numpy(self.corpus.labels[rows])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        if self.frozen:
            # Here and not in `train`: whoever encodes between two epochs puts the encoder back into training mode.
            for module in self.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        logits = self.head(self.encoder(batch["image"]))  # (N, K)
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}

    @torch.inference_mode()
    def accuracy(self, test: Images) -> float:
        """On whole pictures, in evaluation mode."""
        self.eval()
        where = self.head.weight.device
        right = 0
        for rows, vectors in embedded(self.encoder, test, np.arange(len(test)), where):
            right += int((self.head(vectors).argmax(1).cpu() == from_numpy(test.labels[rows])).sum())
        return right / len(test)


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Fit,
    out: Path,
    *,
    seed: int,
    fractions: list[float],
    draws: int,
    samples: int,
    batch: int,
    optimizer: str,
    lr: float,
    weight_decay: float,
    head_lr: float,
) -> dict[str, float]:
    """Accuracy on the test split after fine-tuning on each fraction: mean over draws, deviation (n - 1) as `.spread`.

    Of the corpus, or of its tasks where it has no labels of its own.

    The encoder that is passed in stays as it is. Draws are those of the probe `labels` with this seed; all labels can
    be drawn in one way only. `lr` is the trunk's; the head's is `head_lr` times that.
    """
    check(fractions)
    if draws < 1:
        raise ValueError(f"image.transfers.fine_tune.draws is {draws}; use 1 or more")

    def accuracy(name: str, train: Images, test: Images, fraction: float, draw: int) -> float:
        few = train.take(subset(train.labels, train.ids, fraction, seed=seed, draw=draw))
        frozen = fraction < FEW
        tuned = FineTune(copy.deepcopy(encoder), few, Path(), batch=batch, head_lr=head_lr, frozen=frozen)
        label = f"fine_tune {name}{percent(fraction)}" + f" draw {draw + 1}" * (draw > 0)
        fit(
            tuned, label=label, samples=samples, batch=batch, optimizer=optimizer, lr=lr, weight_decay=weight_decay
        )  # fmt: skip
        return tuned.accuracy(test)

    found: dict[str, float] = {}
    for name, each in sets(corpus).items():
        train, test = labelled(each, "train"), labelled(each, "test")
        covered(train.labels, test.labels, each.classes)
        for fraction in fractions:
            key = f"{name}accuracy@{percent(fraction)}"
            times = draws if fraction < 1 else 1
            scores = [accuracy(name, train, test, fraction, draw) for draw in range(times)]
            found |= {key: float(np.mean(scores)), f"{key}.chance": commonest(test.labels)}
            if len(scores) > 1:
                found[f"{key}.spread"] = float(np.std(scores, ddof=1))
    return found


def sets(corpus: Images) -> dict[str, Images]:
    """What is tuned on: the corpus, as ""; or, where that has no labels, each of its tasks that has, as "name/"."""
    if (corpus.labels >= 0).any():
        return {"": corpus}
    found = {f"{name}/": each for name, each in corpus.tasks().items() if (each.labels >= 0).any()}
    return found or {"": corpus}


def labelled(corpus: Images, split: str) -> Images:
    rows = np.flatnonzero((corpus.splits == split) & (corpus.labels >= 0))
    if not len(rows):
        raise ValueError(f"the {split} split has no labelled picture; add labels, or set `transfers: {{}}`")
    return corpus.take(rows)
