"""TF-IDF: topics told by their words, on each labelled set, against a second way to the same numbers."""

import numpy as np
import pytest

from modalities.text.baselines import tfidf
from modalities.text.corpus import Texts
from tests.text import toy

KEYS = {"words": 1, "min_count": 1, "strengths": [1e-3, 1e-2], "held_out": 0.2}


def test_topics_are_told_by_their_words(toy_texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Texts, "tasks", lambda self: {"more": toy.documents(64, seed=5)})
    found = tfidf.run(toy_texts, seed=0, **KEYS)  # type: ignore[arg-type]
    assert found["linear.accuracy"] == 1 and found["linear (more).mean_per_class"] == 1
    assert found["linear.accuracy.chance"] == pytest.approx(0.25)


def test_the_weights_are_counts_times_rarity() -> None:
    """By hand: (1 + ln c) · (1 + ln((1 + n) / (1 + df))), rows of length one, separate as they must."""
    texts = ["a a b", "b c", "a c c c"]
    counts = np.array([[2, 1, 0], [0, 1, 1], [1, 0, 3]], float)
    idf = 1 + np.log(4 / (1 + (counts > 0).sum(0)))
    want = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+|[^\w\s]").fit_transform(texts).toarray()
    np.testing.assert_allclose(found, want)
