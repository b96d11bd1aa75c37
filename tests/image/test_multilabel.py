"""Mean average precision against scikit-learn and torchmetrics, and the classifier against scikit-learn's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.judging import marked
from modalities.image.judging.average_precision import average_precision, judged
from modalities.image.judging.marked import Several
from modalities.image.transfers import multilabel
from tests.conftest import pictures

SETTINGS: dict[str, Any] = {"strengths": [1e-3, 1e-1], "held_out": 0.2, "ap": "step"}


def slow(scores: Any, shown: Any, kind: str) -> float:
    """Precision and recall at every threshold, in a double loop."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        taken = [k for k in range(len(scores)) if scores[k] >= threshold]
        hits = sum(bool(shown[k]) for k in taken)
        points.append((hits / sum(shown), hits / len(taken)))
    if kind == "points11":
        best = [max((p for r, p in points if r >= t / 10 - 1e-12), default=0.0) for t in range(11)]
        return sum(best) / 11
    total, before = 0.0, 0.0
    for k, (recall, precision) in enumerate(points):
        total += (recall - before) * (max(p for _, p in points[k:]) if kind == "area" else precision)
        before = recall
    return total


def test_average_precision_equals_the_slow_one_scikit_learns_and_torchmetrics() -> None:
    from torchmetrics.functional.classification import binary_average_precision

    rng = np.random.default_rng(0)
    for ties in (1000, 5):
        for _ in range(20):
            shown = rng.random(40) < 0.3
            shown[0] = True
            scores = np.round(rng.normal(0, 1, 40) + shown, 3 if ties == 1000 else 0)
            for kind in ("step", "area", "points11"):
                assert average_precision(scores, shown, kind) == pytest.approx(slow(scores, shown, kind))
            step = average_precision(scores, shown, "step")
            assert step == pytest.approx(average_precision_score(shown, scores))
            other = binary_average_precision(
                torch.from_numpy(scores).sigmoid(), torch.from_numpy(shown).long()
            )
            assert step == pytest.approx(float(other), abs=1e-5)
            assert average_precision(scores, shown, "area") >= step - 1e-12


def test_a_perfect_ranking_is_one_and_none_to_find_is_an_error() -> None:
    scores, shown = np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])
    for kind in ("step", "area", "points11"):
        assert average_precision(scores, shown, kind) == pytest.approx(1)
    assert average_precision(-scores, shown, "step") == pytest.approx((1 / 3 + 2 / 4) / 2)
    with pytest.raises(ValueError, match="needs a sample that shows"):
        average_precision(scores, np.zeros(4, bool), "area")
    targets = np.array([[1, 0, -1], [-1, 0, 1], [0, 0, 0]], np.int8)
    assert [(kind, rows.tolist()) for kind, rows in judged(targets)] == [(0, [0, 2]), (2, [1, 2])]


@pytest.fixture
def known() -> Several:
    """Two labels that the angle of the bar tells, and one that nothing does; some of them not to be judged."""
    made = pictures(160, 20)
    made = replace(made, splits=np.where(np.arange(160) // 4 % 4 == 3, "test", "train"))
    rng = np.random.default_rng(1)
    targets = np.stack([made.labels < 2, made.labels % 2 == 0, rng.random(160) < 0.3], 1).astype(np.int8)
    targets[rng.random((160, 3)) < 0.05] = -1
    return Several(made, targets, ["low", "even", "chance"])


def test_it_is_scikit_learns_logistic_regression_class_by_class(
    known: Several, tiny_encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multilabel, "sets", lambda corpus, of: [("", known), ("more", known)])
    settings = SETTINGS | {"strengths": [2e-2]}
    found = multilabel.run(tiny_encoder, known.pictures, None, Path(), seed=0, **settings)
    vectors = multilabel.encoded(tiny_encoder, known.pictures).astype(np.float64)
    train, test = known.pictures.splits == "train", known.pictures.splits == "test"
    x = StandardScaler().fit(vectors[train]).transform(vectors)
    each, shares = [], []
    for kind in range(3):
        fit, ask = train & (known.targets[:, kind] >= 0), test & (known.targets[:, kind] >= 0)
        model = LogisticRegression(C=1 / (1e-2 * fit.sum()), tol=1e-9, max_iter=20_000)  # half of 2e-2
        model.fit(x[fit], known.targets[fit, kind])
        truth = known.targets[ask, kind] == 1
        each.append(average_precision_score(truth, model.decision_function(x[ask])))
        shares.append(truth.mean())
    assert found["mAP"] == pytest.approx(np.mean(each), abs=1e-3) and found["more/mAP"] == found["mAP"]
    assert found["mAP.chance"] == pytest.approx(np.mean(shares))
    assert found["mAP"] > found["mAP.chance"] + 0.1


def test_the_strength_is_chosen_without_the_test_split(known: Several, tiny_encoder: ImageEncoder) -> None:
    vectors = multilabel.encoded(tiny_encoder, known.pictures)
    scores = multilabel.classified(vectors, known, seed=0, **SETTINGS)
    changed = known.targets.copy()
    changed[known.pictures.splits == "test"] = 0
    again = multilabel.classified(vectors, replace(known, targets=changed), seed=0, **SETTINGS)
    np.testing.assert_array_equal(scores, again)
    lonely = known.targets.copy()
    lonely[known.pictures.splits == "train", 0] = 0
    none = multilabel.classified(vectors, replace(known, targets=lonely), seed=0, **SETTINGS)
    assert (none[:, 0] == 0).all() and (none[:, 1] == scores[:, 1]).all()


def test_it_reads_what_ingest_wrote_and_does_not_apply_without_marks(
    toy_images: Images, tiny_encoder: ImageEncoder
) -> None:
    assert list(marked.sets(toy_images, marked.several)) == []
    assert multilabel.run(tiny_encoder, toy_images, None, Path(), seed=0, **SETTINGS) == {}
    with pytest.raises(ValueError, match=r"image\.transfers\.multilabel\.held_out is 1"):
        multilabel.run(tiny_encoder, toy_images, None, Path(), seed=0, **(SETTINGS | {"held_out": 1.0}))
