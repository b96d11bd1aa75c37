"""kNN: do the nearest training vectors carry the right label? Nothing is trained.

Weighted vote by cosine similarity, as in Wu et al. 2018, arXiv:1805.01978: class c scores the sum of
exp(similarity / temperature) over those of the k nearest that are of class c.
N bank, M queries, D features, K classes.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Features
from modalities.common.chance import commonest
from modalities.common.device import device

# Similarities held at a time, 8 MB: they stay in a core's cache, whatever the size of the bank.
QUERIES, PART = 512, 4096


def run(features: Features, *, seed: int, k: int, temperature: float) -> dict[str, float]:
    """Accuracy on the test split, with the train split as the bank."""
    bank, labels, _ = features.labelled("train")
    queries, truth, _ = features.labelled("test")
    if not 1 <= k <= len(bank) / 2:
        raise ValueError(
            f"probes.knn.k is {k}, but {len(bank)} train samples have a label; use 1 to {len(bank) // 2}"
        )
    if temperature <= 0:
        raise ValueError(f"probes.knn.temperature is {temperature}; use a number above 0")
    where = device()
    found = nearest(
        torch.from_numpy(queries).to(where),
        torch.from_numpy(bank).to(where),
        torch.from_numpy(labels).to(where),
        k=k,
        temperature=temperature,
    )
    accuracy = float(np.mean(found.cpu().numpy() == truth))
    return {"accuracy": accuracy, "accuracy.chance": commonest(truth)}


def nearest(queries: Tensor, bank: Tensor, labels: Tensor, *, k: int, temperature: float) -> Tensor:
    """(M, D), (N, D), (N,) -> (M,) labels; ties go to the lowest."""
    bank, queries = F.normalize(bank), F.normalize(queries)
    found = []
    for chunk in torch.split(queries, QUERIES):
        similarity, which = closest(chunk, bank, k)
        # Less the largest: the same argmax, and no overflow however small the temperature.
        weight = ((similarity - similarity[:, :1]) / temperature).exp()
        score = weight.new_zeros(len(chunk), int(labels.max()) + 1)  # (m, K)
        near = labels[which]
        # One neighbour at a time, so no two additions meet in a cell and a GPU adds in the same order every time.
        for j in range(k):
            score.scatter_add_(1, near[:, j : j + 1], weight[:, j : j + 1])
        found.append(score.argmax(1))
    return torch.cat(found)


def closest(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(m, D), (N, D) of length one -> (m, k) similarities, the nearest first, and (m, k) their places in the bank."""
    values, places = [], []
    for start in range(0, len(bank), PART):
        part = bank[start : start + PART]
        value, place = (queries @ part.T).topk(min(k, len(part)))
        values.append(value)
        places.append(place + start)
    similarity, order = torch.cat(values, 1).topk(k)
    return similarity, torch.cat(places, 1).gather(1, order)
