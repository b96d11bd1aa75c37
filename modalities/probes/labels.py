"""Labels: how few are enough? The linear probe on class-balanced shares of the training labels.

All shares are standardised by the whole train split, which takes no label, so only the number of labels changes from
one to the next. The strength is fixed: few labels leave none to choose it with.
"""

import numpy as np
import torch

from modalities.base import Features
from modalities.common import logistic
from modalities.common.chance import commonest
from modalities.common.fractions import check, covered, percent, subset


def run(
    features: Features, *, seed: int, fractions: list[float], draws: int, strength: float
) -> dict[str, float]:
    """Per fraction: mean accuracy on the test split over draws, and its deviation (n - 1) under `.spread`.

    All labels can be drawn in one way only, so 100% is one fit, without a spread.
    """
    check(fractions)
    if draws < 1:
        raise ValueError(f"probes.labels.draws is {draws}; use 1 or more")
    vectors, labels, ids = features.labelled("train")
    test, truth, _ = features.labelled("test")
    covered(labels, truth, features.classes)
    standard = logistic.Standard(vectors)
    kinds, dense = np.unique(labels, return_inverse=True)
    x, queries = standard(vectors), standard(test)
    y = torch.from_numpy(dense).to(x.device)

    def accuracy(fraction: float, draw: int) -> float:
        rows = torch.from_numpy(subset(labels, ids, fraction, seed=seed, draw=draw)).to(x.device)
        weights = logistic.fit(x[rows], y[rows], strengths=[strength], tolerance=logistic.CLOSE)[0]
        return float(np.mean(kinds[logistic.predict(queries, weights).cpu().numpy()] == truth))

    found: dict[str, float] = {}
    for fraction in fractions:
        name = f"accuracy@{percent(fraction)}"
        scores = [accuracy(fraction, draw) for draw in range(draws if fraction < 1 else 1)]
        found |= {name: float(np.mean(scores)), f"{name}.chance": commonest(truth)}
        if len(scores) > 1:
            found[f"{name}.spread"] = float(np.std(scores, ddof=1))
    return found
