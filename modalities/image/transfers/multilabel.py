"""Multi-label: which of several classes does a picture show? One linear classifier a class, on frozen features.

In the manner of the VOC07 protocol (Owens et al. 2016; Goyal et al. 2019, arXiv:1905.01235), but by logistic
regression on standardised features instead of a support vector machine, with the strength of each class chosen on a
share of the training pictures. Judged by mean average precision, over every set of which several labels or boxes are
known. D = encoder.dim, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index
from modalities.common import fractions, logistic
from modalities.common.device import device
from modalities.common.embedding import embedded
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.judging.average_precision import Kind, average_precision, judged
from modalities.image.judging.marked import Several, sets, several


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Any,
    out: Path,
    *,
    seed: int,
    strengths: list[float],
    held_out: float,
    ap: Kind,
) -> dict[str, float]:
    """`mAP` of each set, `set/mAP`, over the classes that its test split shows. `fit` and `out` are not used.

    Its chance is what any fixed order of the pictures is expected to score: the share that shows the class.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"image.transfers.multilabel.held_out is {held_out}; use a share between 0 and 1")
    found: dict[str, float] = {}
    for name, known in sets(corpus, several):
        vectors = encoded(encoder, known.pictures)
        scores = classified(vectors, known, seed=seed, strengths=strengths, held_out=held_out, ap=ap)
        test = np.flatnonzero(known.pictures.splits == "test")
        truth, answers = known.targets[test], scores[test]
        rows = [(kind, seen) for kind, seen in judged(truth)]
        if not rows:
            continue
        each = [average_precision(answers[seen, kind], truth[seen, kind] == 1, ap) for kind, seen in rows]
        metric = f"{name}/mAP".removeprefix("/")
        shares = [float((truth[seen, kind] == 1).mean()) for kind, seen in rows]
        found |= {metric: float(np.mean(each)), f"{metric}.chance": float(np.mean(shares))}
    return found


def encoded(encoder: ImageEncoder, pictures: Images) -> NDArray[np.float32]:
    """(N, D)"""
    where = device()
    encoder.to(where)
    parts = embedded(encoder, pictures, np.arange(len(pictures)), where)
    return np.concatenate([vectors.cpu().numpy() for _, vectors in parts])


def classified(
    vectors: NDArray[np.float32],
    known: Several,
    *,
    seed: int,
    strengths: list[float],
    held_out: float,
    ap: Kind,
) -> NDArray[np.float64]:
    """(N, K) scores of all pictures, fitted on the training split; 0 for classes that it shows in none or all."""
    train = np.flatnonzero(known.pictures.splits == "train")
    x = logistic.Standard(vectors[train])(vectors)
    scores = np.zeros(known.targets.shape)
    for kind in range(known.targets.shape[1]):
        target = known.targets[train, kind]
        rows = train[target >= 0]
        y = known.targets[rows, kind].astype(np.int64)
        if len(np.unique(y)) == 2:
            seen = fractions.subset(
                y, [known.pictures.ids[row] for row in rows], 1 - held_out, seed=seed, draw=0
            )
            strength = choose(x[rows], y, seen, strengths, ap)
            scores[:, kind] = plane(x, rows, y, [strength], logistic.CLOSE)[0].cpu().numpy()
    return scores


def choose(x: Tensor, y: Index, seen: Index, strengths: list[float], ap: Kind) -> float:
    """The strength with the best average precision on rows outside `seen`; of equals, the strongest."""
    ordered = sorted(strengths, reverse=True)
    rest = np.setdiff1d(np.arange(len(y)), seen)
    if not (y[rest] == 1).any():  # too few show the class for one to be held out
        return ordered[0]
    answers = plane(x, seen, y[seen], ordered, logistic.ROUGH)
    found = [average_precision(each[rest].cpu().numpy(), y[rest] == 1, ap) for each in answers]
    return ordered[int(np.argmax(found))]


def plane(x: Tensor, rows: Index, y: Index, strengths: list[float], tolerance: float) -> list[Tensor]:
    """Scores (N,) of all rows of x by the logistic regression of y, 0 or 1, on some; one for each strength.

    It is the multinomial one of two classes, whose weights mirror each other: the strength of the usual, single plane
    is half of it.
    """
    some = torch.from_numpy(rows).to(x.device)
    weights = logistic.fit(
        x[some], torch.from_numpy(y).to(x.device), strengths=strengths, tolerance=tolerance
    )
    return [x @ (two[1] - two[0]) for two in weights]
