"""Retrieval: is one of the k nearest training videos of the same class? Nothing is trained.

The protocol of Xu et al., CVPR 2019 (video clip order): the gallery is the training split, queries are the test split,
nearness is the cosine of frozen vectors. Videos of one recording look alike whatever a network has learnt, so those of
a query's own group are never found for it.
G gallery, Q queries, D = encoder.dim.
"""

from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.base import Encoder, Index
from modalities.common.device import device
from modalities.common.embedding import embedded
from modalities.image.shared import preview
from modalities.video.augment import squares
from modalities.video.corpus import Videos
from modalities.video.transfers.fine_tune import labelled

SHOWN, NEAREST = 6, 7  # queries that are drawn, and what was found for each


def run(
    encoder: Encoder, corpus: Videos, fit: Any, out: Path, *, seed: int, k: list[int]
) -> dict[str, float]:
    """hit@k of the test split for each k that is smaller than the gallery, beside that of a random order.

    `fit` and `seed` are not used. Raises ValueError where a k is below 1.
    """
    if not k or min(k) < 1:
        raise ValueError(f"video.transfers.retrieval.k is {k}; use numbers from 1 up")
    found: dict[str, float] = {}
    for name, gallery, queries in labelled(corpus):
        order, allowed = nearest(
            vectors(encoder, queries), vectors(encoder, gallery), queries.groups, gallery.groups
        )
        right = gallery.labels[order] == queries.labels[:, None]
        draw(out / f"nearest{f' {name}' if name else ''}.png", queries, gallery, order, right)
        for count in (each for each in k if each < len(gallery)):
            metric = f"{name}/hit@{count}".removeprefix("/")
            found[metric] = hits(right, allowed, count)
            found[f"{metric}.chance"] = by_chance(queries, gallery, allowed, count)
    return found


def vectors(encoder: Encoder, videos: Videos) -> NDArray[np.float32]:
    """(N, D), of unit length."""
    where = device()
    found = np.empty((len(videos), encoder.dim), np.float32)
    for rows, part in embedded(encoder.to(where), videos, np.arange(len(videos)), where):
        found[rows] = torch.nn.functional.normalize(part).cpu().numpy()
    return found


def nearest(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], own: list[str], theirs: list[str]
) -> tuple[Index, Index]:
    """(Q, G) rows of the gallery, the nearest first, those of the query's group last; (Q,) how many are of others."""
    number = {name: k for k, name in enumerate(sorted({*own, *theirs}))}
    same = np.array([number[g] for g in own])[:, None] == np.array([number[g] for g in theirs])
    similarity = np.where(same, -np.inf, queries @ gallery.T)
    return np.argsort(-similarity, 1, kind="stable"), (~same).sum(1)


def hits(right: NDArray[np.bool_], allowed: Index, k: int) -> float:
    """Share of queries with a right one among their k nearest; `right` (Q, G) is in order of nearness."""
    inside = np.arange(right.shape[1]) < np.minimum(k, allowed)[:, None]
    return float((right & inside).any(1).mean())


def by_chance(queries: Videos, gallery: Videos, allowed: Index, k: int) -> float:
    """Mean probability that k of the allowed, drawn at random, hold one of the query's class."""
    groups = np.array(gallery.groups)
    missed = []
    for query, label in enumerate(queries.labels):
        others = groups != queries.groups[query]
        wrong = int((others & (gallery.labels != label)).sum())
        total = int(allowed[query])
        missed.append(comb(wrong, min(k, total)) / comb(total, min(k, total)))
    return 1 - float(np.mean(missed))


def draw(out: Path, queries: Videos, gallery: Videos, order: Index, right: NDArray[np.bool_]) -> None:
    """A row for each of some queries: its middle frame, then those of the nearest; of the wrong ones only grey."""
    rows = {}
    for query in np.unique(np.linspace(0, len(queries) - 1, SHOWN).astype(int)):
        near = order[query, :NEAREST]
        asked = squares(queries, np.array([query]), queries.counts[[query]] // 2, preview.TILE)
        answers = squares(gallery, near, gallery.counts[near] // 2, preview.TILE)
        gray = answers.mean(1, keepdim=True).expand_as(answers) * 0.6 + 0.4
        shown = torch.where(torch.from_numpy(right[query, :NEAREST])[:, None, None, None], answers, gray)
        name = queries.classes[queries.labels[query]]
        rows[f"{name[:10]}\n{queries.ids[query][:6]}"] = torch.cat([asked, shown])
    preview.grid(out, rows)
