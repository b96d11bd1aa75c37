"""TF-IDF: a linear classifier on counted words and pairs of words, no network at all.

Counts c become (1 + ln c) · idf, rows of length one; multinomial logistic regression, its weight decay chosen on a
held-out share of the training labels, as the probe `linear` does.
"""

from typing import Any

import numpy as np

from modalities.base import Index
from modalities.common import fractions
from modalities.common.chance import commonest
from modalities.probes.linear import fitted
from modalities.text.corpus import Texts


def run(
    corpus: Texts, *, seed: int, words: int, min_count: int, strengths: list[float], held_out: float
) -> dict[str, float]:
    """Accuracy and the mean of the classes' accuracies, as `linear` has them, on each labelled set.

    Runs of up to `words` words count, those that `min_count` training texts have or more.
    """
    own = {"linear": corpus} if (corpus.labels >= 0).any() else {}
    found: dict[str, float] = {}
    for task, each in (own | {f"linear ({name})": it for name, it in corpus.tasks().items()}).items():
        train = each.take(np.flatnonzero((each.labels >= 0) & (each.splits == "train")))
        test = each.take(np.flatnonzero((each.labels >= 0) & (each.splits == "test")))
        fractions.covered(train.labels, test.labels, each.classes)
        seen = fitted(train.labels, train.ids, held_out=held_out, seed=seed)
        answers = _answers(train, test, seen, words, min_count, strengths)
        by_class = [float(np.mean(answers[test.labels == kind] == kind)) for kind in np.unique(test.labels)]
        found |= {
            f"{task}.accuracy": float(np.mean(answers == test.labels)),
            f"{task}.accuracy.chance": commonest(test.labels),
            f"{task}.mean_per_class": float(np.mean(by_class)),
            f"{task}.mean_per_class.chance": 1 / len(by_class),
        }
    return found


def _answers(
    train: Texts, test: Texts, seen: Index, words: int, min_count: int, strengths: list[float]
) -> Index:
    from sklearn.feature_extraction.text import TfidfVectorizer

    count = TfidfVectorizer(
        ngram_range=(1, words), min_df=min_count, sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"
    )
    x = count.fit_transform(train.documents(range(len(train))))
    hidden = np.setdiff1d(np.arange(len(train)), seen)
    scores = [
        np.mean(_model(x[seen], train.labels[seen], strength).predict(x[hidden]) == train.labels[hidden])
        for strength in sorted(strengths, reverse=True)  # of equals, the strongest
    ]
    best = sorted(strengths, reverse=True)[int(np.argmax(scores))]
    found: Index = _model(x, train.labels, best).predict(count.transform(test.documents(range(len(test)))))
    return found


def _model(x: Any, labels: Index, strength: float) -> Any:
    """Mean cross-entropy + strength/2 · |W|²."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / (strength * len(labels)), max_iter=1000).fit(x, labels)
