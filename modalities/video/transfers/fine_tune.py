"""Fine-tune: train the whole encoder, under a fresh linear head, on clips of a share of the labels.

The protocol is that of pictures (modalities/image/transfers/fine_tune.py); a clip is the encoder's frames, evenly over
the video, with one crop and one flip. Fine-tuning the encoder of the untrained method
`random` is exactly training from scratch on those labels: the curve all others must lie above.
N videos, T frames, S side.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import from_numpy

from modalities.base import Batch, Encoder, Index
from modalities.common.chance import commonest
from modalities.common.fractions import check, covered, percent, subset
from modalities.image.transfers import fine_tune as pictures
from modalities.image.transfers.fine_tune import FEW, Fit
from modalities.video.augment import crop_flip, uniform
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames


class FineTune(pictures.FineTune):
    """The same task and head, for videos."""

    corpus: Videos  # type: ignore[assignment]
    encoder: Frames  # type: ignore[assignment]

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        rows = index % len(self.corpus)
        numbers = uniform(self.corpus.counts[rows], self.encoder.frames)
        clips = crop_flip(self.corpus, rows, numbers, self.encoder.side, rng)  # (N, 3, T, S, S)
        return {"image": clips, "label": from_numpy(self.corpus.labels[rows])}


def run(
    encoder: Encoder,
    corpus: Videos,
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
    """Accuracy on the test split after fine-tuning on each fraction, and the same of each further labelled set.

    The encoder that is passed in stays as it is. `lr` is the trunk's; the head's is `head_lr` times that.
    """
    check(fractions)
    settings: dict[str, Any] = {"samples": samples, "batch": batch, "optimizer": optimizer, "lr": lr}
    settings["weight_decay"] = weight_decay
    found: dict[str, float] = {}
    for name, train, test in labelled(corpus):
        covered(train.labels, test.labels, train.classes)
        for fraction in fractions:
            few: Any = train.take(subset(train.labels, train.ids, fraction, seed=seed, draw=0))
            trunk: Any = copy.deepcopy(encoder)
            tuned = FineTune(trunk, few, Path(), batch=batch, head_lr=head_lr, frozen=fraction < FEW)
            fit(tuned, label=f"fine_tune {name} {percent(fraction)}".replace("  ", " "), **settings)
            metric = f"{name}/accuracy@{percent(fraction)}".removeprefix("/")
            found[metric] = tuned.accuracy(test)  # type: ignore[arg-type]
            found[f"{metric}.chance"] = commonest(test.labels)
    return found


def labelled(corpus: Videos) -> Iterator[tuple[str, Videos, Videos]]:
    """("", train, test) of the corpus itself, and (name, train, test) of each further set, where both have labels."""
    for name, videos in {"": corpus, **corpus.tasks()}.items():
        parts = [
            videos.take(np.flatnonzero((videos.splits == split) & (videos.labels >= 0)))
            for split in ("train", "test")
        ]
        if all(map(len, parts)):
            yield name, parts[0], parts[1]
