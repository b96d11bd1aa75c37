"""Sentence similarity: are sentences of one meaning close? Cosines as they are, and a regression on frozen vectors.

The protocols of STS and of SICK-R in SentEval (Conneau and Kiela 2018, arXiv:1803.05449). Correlations times 100, over
all pairs of a set at once, never as a mean over its years. n pairs, D = encoder.dim, K scores.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index
from modalities.common import logistic
from modalities.common.correlation import pearson, spearman
from modalities.common.device import device
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder
from modalities.text.shared import preview

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
READ = 256  # sentences encoded at a time
SHOWN = 3  # pairs at each end of the cosines that the picture has


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Any,
    out: Path,
    *,
    seed: int,
    centre: bool,
    strengths: list[float],
    held_out: float,
) -> dict[str, float]:
    """Of each set of scored pairs `NAME/spearman` and `NAME/pearson` of cosines on its test split, or on all of it.

    Where it has a training split, `NAME/fitted pearson` and `fitted spearman` are those of the regression. `centre`
    takes the mean vector of the tested sentences off first, from cosines alone. Guessing scores 0.
    """
    found: dict[str, float] = {}
    for name, columns in corpus.tables("pairs").items():
        splits, scores = np.array(columns["split"]), np.array(columns["score"], np.float64)
        first, second = encode(encoder, columns["a"]), encode(encoder, columns["b"])
        test = np.flatnonzero(splits == "test") if (splits == "test").any() else np.arange(len(splits))
        cosines = cosine(first[test], second[test], centre=centre)
        measured = {"spearman": spearman(cosines, scores[test]), "pearson": pearson(cosines, scores[test])}
        train = np.flatnonzero(splits == "train")
        if len(train) > 1 and len(test) < len(splits):
            x = features(first, second)
            valid = np.flatnonzero((splits != "train") & (splits != "test"))
            made = regressed(x, scores, train, valid, test, strengths=strengths, held_out=held_out, seed=seed)
            measured |= {
                "fitted spearman": spearman(made, scores[test]),
                "fitted pearson": pearson(made, scores[test]),
            }
        for metric, value in measured.items():
            found |= {f"{name}/{metric}": 100 * value, f"{name}/{metric}.chance": 0.0}
        a, b = ([columns[side][k] for k in test] for side in "ab")
        preview.write(out / f"{name}.json", drawn(a, b, scores[test], cosines))
    return found


@torch.no_grad()
def encode(encoder: TextEncoder, texts: list[str]) -> Vectors:
    """(n, D), in evaluation mode; a text that occurs twice is encoded once."""
    kinds = list(dict.fromkeys(texts))
    where, training = device(), encoder.training
    encoder.to(where).eval()
    parts = [kinds[k : k + READ] for k in range(0, len(kinds), READ)]
    vectors = torch.cat([encoder(encoder.tokens(part).to(where)).float().cpu() for part in parts]).numpy()
    encoder.train(training)
    number = {text: k for k, text in enumerate(kinds)}
    found: Vectors = vectors[[number[text] for text in texts]]
    return found


def cosine(first: Vectors, second: Vectors, *, centre: bool) -> Scores:
    """(n,), to six decimals; 0 where a vector is zero, as that of a text without a known word may be.

    The vectors are no more exact, and pairs of equal texts must share a rank.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    if centre:
        mean = np.concatenate([a, b]).mean(0)
        a, b = a - mean, b - mean
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: Scores = np.round(np.einsum("nd,nd->n", a, b) / np.maximum(length, 1e-12), 6)
    return found


def features(first: Vectors, second: Vectors) -> Vectors:
    """(n, 2D): how far the two are apart, and their products, number by number."""
    return np.concatenate([np.abs(first - second), first * second], 1)


def shares(scores: Scores, least: int, most: int) -> Scores:
    """(n, K): a score between two whole numbers as shares of both, so that its mean is the score (Tai et al. 2015)."""
    grid = np.arange(least, most + 1)
    found: Scores = np.maximum(0.0, 1 - np.abs(np.clip(scores, least, most)[:, None] - grid))
    return found


def regressed(
    x: Vectors, scores: Scores, train: Index, valid: Index, test: Index, *, strengths: list[float],
    held_out: float, seed: int,
) -> Scores:  # fmt: skip
    """Scores of the pairs `test`: the mean of a softmax over whole scores, fitted to `train`.

    Its strength is the one with the best Pearson's on `valid`, or on a share of `train` where there is none.
    """
    if not len(valid):
        order = np.random.default_rng(seed).permutation(train)
        cut = max(1, round(held_out * len(train)))
        valid, seen = order[:cut], np.sort(order[cut:])
    else:
        seen = train
    if len(strengths) > 1:
        ordered = sorted(strengths, reverse=True)
        tried = fitted(x, scores, seen, valid, ordered, logistic.ROUGH)
        strengths = [ordered[int(np.argmax([pearson(each, scores[valid]) for each in tried]))]]
    return fitted(x, scores, train, test, strengths, logistic.CLOSE)[0]


def fitted(
    x: Vectors, scores: Scores, train: Index, test: Index, strengths: list[float], tolerance: float
) -> list[Scores]:
    """Scores of the pairs `test`, for each strength."""
    least, most = int(np.floor(scores[train].min())), int(np.ceil(scores[train].max()))
    standard = logistic.Standard(x[train])
    rows = standard(x[train])
    soft = torch.from_numpy(shares(scores[train], least, most)).to(rows)
    grid = torch.arange(least, most + 1).to(rows)
    found: list[Tensor] = logistic.fit(rows, soft, strengths=strengths, tolerance=tolerance)
    return [((standard(x[test]) @ weights.T).softmax(1) @ grid).cpu().numpy() for weights in found]


def drawn(first: list[str], second: list[str], scores: Scores, cosines: Scores) -> list[preview.Line]:
    """The closest pairs and the furthest by cosine, with what people say."""
    order = np.argsort(-cosines, kind="stable")
    lines: list[preview.Line] = []
    for k in dict.fromkeys([*order[:SHOWN], *order[-SHOWN:]]):
        said = (f"cosine {cosines[k]:.2f}, score {scores[k]:.1f}:", "dim")
        lines.append([said, (first[k], ""), (second[k], "asked")])  # type: ignore[list-item]
    return lines
