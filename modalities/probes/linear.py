"""Linear: can a plane separate the classes? Multinomial logistic regression on standardised frozen features.

The strength of its weight decay is chosen on a share of the training labels, held out by class; then it is fitted
on all of them. The test split is read once, at the end.
"""

from collections import Counter
from typing import Any

import numpy as np
import torch

from modalities.base import Features, Index
from modalities.common import fractions, logistic
from modalities.common.chance import commonest


def run(features: Features, *, seed: int, strengths: list[float], held_out: float) -> dict[str, Any]:
    """Accuracy, the mean of the accuracies of each class, and `confusion`, who was called what, on the test split."""
    vectors, labels, ids = features.labelled("train")
    test, truth, _ = features.labelled("test")
    fractions.covered(labels, truth, features.classes)
    seen = fitted(labels, ids, held_out=held_out, seed=seed)
    standard = logistic.Standard(vectors)
    kinds, dense = np.unique(labels, return_inverse=True)
    x, y = standard(vectors), torch.from_numpy(dense)
    y = y.to(x.device)
    strength = choose(x, y, seen, strengths)
    weights = logistic.fit(x, y, strengths=[strength], tolerance=logistic.CLOSE)[0]
    found = kinds[logistic.predict(standard(test), weights).cpu().numpy()]
    by_class = [float(np.mean(found[truth == kind] == kind)) for kind in np.unique(truth)]
    return {
        "accuracy": float(np.mean(found == truth)),
        "accuracy.chance": commonest(truth),
        "mean_per_class": float(np.mean(by_class)),
        "mean_per_class.chance": 1 / len(by_class),
        "confusion": confusion(truth, found, features.classes),
    }


def confusion(truth: Index, found: Index, classes: list[str]) -> dict[str, dict[str, int]]:
    """How many samples of each class were called which, by name; what never happened is left out."""
    said: dict[str, dict[str, int]] = {}
    for (actual, predicted), count in sorted(
        Counter(zip(truth.tolist(), found.tolist(), strict=True)).items()
    ):
        said.setdefault(classes[actual], {})[classes[predicted]] = count
    return said


def fitted(labels: Index, ids: list[str], *, held_out: float, seed: int) -> Index:
    """Rows that are fitted while strengths are compared; the others are held out, the same share of each class."""
    if not 0 < held_out < 1:
        raise ValueError(f"probes.linear.held_out is {held_out}; use a share between 0 and 1")
    rows = fractions.subset(labels, ids, 1 - held_out, seed=seed, draw=0)
    if len(rows) == len(labels):
        raise ValueError(
            f"probes.linear.held_out is {held_out}: of {len(labels)} samples none is held out; raise it"
        )
    return rows


def choose(x: torch.Tensor, y: torch.Tensor, seen: Index, strengths: list[float]) -> float:
    """The strength with the best accuracy on rows outside `seen`; of equals, the strongest."""
    fit = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    fit[torch.from_numpy(seen).to(x.device)] = True
    ordered = sorted(strengths, reverse=True)
    paths = logistic.fit(x[fit], y[fit], strengths=ordered, tolerance=logistic.ROUGH)
    right = [int((logistic.predict(x[~fit], weights) == y[~fit]).sum()) for weights in paths]
    return ordered[int(np.argmax(right))]
