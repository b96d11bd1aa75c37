"""Retrieval: are the training samples nearest to a test sample of its class? Nothing is trained.

Every test sample asks for its like among all training samples, by the cosine of frozen vectors. `hit@k` is whether one
of the k nearest is (recall at k, Jégou et al. 2011 and after), `mAP` the mean average precision of the whole order.
G gallery, M queries, D features.
"""

from math import comb

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Features
from modalities.common.device import device

CELLS = 2**22  # similarities sorted at a time


def run(features: Features, *, seed: int, k: list[int]) -> dict[str, float]:
    """hit@k for each k that the gallery is larger than, and mAP, beside those of a random order.

    Queries whose class the gallery has not are left out. Raises ValueError where a k is below 1 or none is left.
    """
    if not k or min(k) < 1:
        raise ValueError(f"probes.retrieval.k is {k}; use numbers from 1 up")
    gallery, labels, _ = features.labelled("train")
    queries, truth, _ = features.labelled("test")
    there = np.isin(truth, labels)
    if not there.any():
        raise ValueError("no class of the test split is in the train split; there is nothing to find")
    queries, truth = queries[there], truth[there]
    counts = np.bincount(labels, minlength=truth.max() + 1)[truth]
    bank, kinds = unit(gallery), torch.from_numpy(labels).to(device())
    precision, first = [], []
    step = max(1, CELLS // len(bank))
    for start in range(0, len(queries), step):
        asked = torch.from_numpy(truth[start : start + step]).to(bank.device)
        order = (unit(queries[start : start + step]) @ bank.T).argsort(dim=1, descending=True, stable=True)
        right = kinds[order] == asked[:, None]  # (m, G)
        precision.append(average_precision(right))
        first.append(right.float().argmax(1))  # places before the first that is right
    found: dict[str, float] = {}
    rank = torch.cat(first)
    for most in (each for each in k if each < len(bank)):
        found[f"hit@{most}"] = float((rank < most).float().mean())
        by_count = {n: _met(len(bank), n, most) for n in set(counts.tolist())}
        found[f"hit@{most}.chance"] = float(np.mean([by_count[n] for n in counts.tolist()]))
    return found | {
        "mAP": float(torch.cat(precision).mean()),
        "mAP.chance": float(np.mean(counts) / len(bank)),
    }


def unit(vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Tensor:
    return F.normalize(torch.from_numpy(vectors).to(device()), dim=1)


def average_precision(right: Tensor) -> Tensor:
    """(m,), of rows that say of each found sample, best first, whether it is right; one at least is, in each."""
    place = torch.arange(1, right.shape[1] + 1, device=right.device)
    return (right.cumsum(1) / place * right).sum(1) / right.sum(1)


def _met(gallery: int, like: int, k: int) -> float:
    """The probability that one of the first k of a random order is one of `like`."""
    return 1 - comb(gallery - like, k) / comb(gallery, k)
