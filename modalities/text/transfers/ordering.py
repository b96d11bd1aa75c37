"""Sentence ordering: are frozen vectors of sentences enough to say which of two comes first?

A linear classifier on [u; v; u - v; u * v], fitted to pairs of sentences of training passages; of held-out ones the
order is read out of its pair probabilities. D = encoder.dim.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.base import Index
from modalities.common import logistic
from modalities.common.device import device
from modalities.text.corpus import Texts, evenly
from modalities.text.encoders import TextEncoder
from modalities.text.shared import preview
from modalities.text.shared.encoding import encoded
from modalities.text.shared.ordering import decode, judged

Vectors = NDArray[np.float32]
SHOWN = 4


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Any,
    out: Path,
    *,
    seed: int,
    sentences: int,
    passages: int,
    held_out: int,
    strength: float,
) -> dict[str, float]:
    """accuracy, pmr and tau over `held_out` passages of the test split, after fitting to `passages` training ones.

    Passages have 3 to `sentences` sentences. {} where a split has none.
    """
    splits = {"train": passages, "test": held_out}
    found = {name: cut(corpus, name, sentences, most) for name, most in splits.items()}
    if not all(found.values()):
        return {}
    vectors = {name: parted(encoder, corpus, rows) for name, rows in found.items()}
    weights = fitted(vectors["train"], strength)
    mean, orders, lines = vectors["train"], [], []
    standard = logistic.Standard(np.concatenate([pairs(each)[0] for each in mean]))
    for k, (rows, each) in enumerate(zip(found["test"], vectors["test"], strict=True)):
        # Of equals the first is read out, so the true order must not be the one that goes in.
        mixed = np.random.default_rng([seed, k]).permutation(len(rows))
        orders.append(mixed[decode(before(each[mixed], standard, weights))])
        if k < SHOWN:
            texts = corpus.strings(rows)
            mark: list[preview.Mark] = [
                "right" if j == place else "wrong" for place, j in enumerate(orders[-1])
            ]
            lines += [
                [(f"{place + 1}.", "dim"), (texts[j], mark[place])] for place, j in enumerate(orders[-1])
            ]
            lines.append([("—", "dim")])
    preview.write(out / "passages.json", lines)
    return judged(orders)


def cut(corpus: Texts, split: str, most: int, count: int) -> list[Index]:
    """Numbers of the sentences of `count` passages at most, evenly spread over the split. None has one twice."""
    found: list[Index] = []
    for document in np.flatnonzero(corpus.splits == split):
        first, last = corpus.first[document : document + 2]
        parts = [np.arange(at, min(at + most, last)) for at in range(first, last, most)]
        found += [part for part in parts if len(part) >= 3]
    some = [found[k] for k in evenly(len(found), count)]
    return [rows for rows in some if len(set(corpus.strings(rows))) == len(rows)]


def parted(encoder: TextEncoder, corpus: Texts, rows: list[Index]) -> list[Vectors]:
    """Vectors of each passage's sentences, (n, D) each."""
    every = encoded(encoder, corpus.strings(np.concatenate(rows)))
    return np.split(every, np.cumsum([len(each) for each in rows])[:-1])


def pairs(vectors: Vectors) -> tuple[Vectors, Index]:
    """(n(n-1), 4D) features of all ordered pairs of different sentences, and 1 where the first comes first."""
    i, j = np.nonzero(~np.eye(len(vectors), dtype=bool))
    u, v = vectors[i], vectors[j]
    return np.concatenate([u, v, u - v, u * v], 1), (i < j).astype(np.int64)


def fitted(passages: list[Vectors], strength: float) -> torch.Tensor:
    """Weights of the pair classifier, (2, 4D + 1)."""
    made = [pairs(each) for each in passages]
    x, y = np.concatenate([features for features, _ in made]), np.concatenate([label for _, label in made])
    where = logistic.Standard(x)(x)
    labels = torch.from_numpy(y).to(device())
    return logistic.fit(where, labels, strengths=[strength], tolerance=logistic.CLOSE)[0]


def before(vectors: Vectors, standard: logistic.Standard, weights: torch.Tensor) -> NDArray[np.float64]:
    """(n, n): log P(sentence i stands before sentence j)."""
    n = len(vectors)
    out = np.zeros((n, n))
    scores = (standard(pairs(vectors)[0]) @ weights.T).log_softmax(1)[:, 1]
    out[~np.eye(n, dtype=bool)] = scores.cpu().numpy()
    return out
