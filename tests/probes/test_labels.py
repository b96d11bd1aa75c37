"""Label fractions: which samples a subset holds, and the probe on it against scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from modalities.common.fractions import percent, subset
from modalities.probes import labels, linear
from tests.probes.blobs import blobs


def test_smaller_fractions_lie_in_larger_ones() -> None:
    _, y, ids = blobs(1000).labelled("train")
    chain = [subset(y, ids, f, seed=1, draw=2) for f in (0.01, 0.02, 0.05, 0.1, 0.5, 1.0)]
    for small, large in pairwise(chain):
        assert set(small) < set(large)
    np.testing.assert_array_equal(chain[-1], np.arange(len(y)))


def test_each_class_gives_its_share_and_at_least_one() -> None:
    _, y, ids = blobs(1000).labelled("train")
    for fraction in (0.001, 0.01, 0.1, 0.37):
        rows = subset(y, ids, fraction, seed=0, draw=0)
        for label in range(5):
            assert (y[rows] == label).sum() == max(1, round(fraction * (y == label).sum()))


def test_a_subset_depends_on_names_and_not_on_order_and_differs_between_draws() -> None:
    _, y, ids = blobs(1000).labelled("train")
    names = {ids[row] for row in subset(y, ids, 0.1, seed=1, draw=0)}
    order = np.random.default_rng(0).permutation(len(y))
    moved = [ids[k] for k in order]
    assert {moved[row] for row in subset(y[order], moved, 0.1, seed=1, draw=0)} == names
    for seed, draw in ((1, 1), (2, 0), (11, 0)):
        assert {ids[row] for row in subset(y, ids, 0.1, seed=seed, draw=draw)} != names


def test_unlabelled_samples_are_never_taken() -> None:
    _, y, ids = blobs().labelled("train")
    y[::2] = -1
    assert (subset(y, ids, 1.0, seed=0, draw=0) % 2 == 1).all()
    assert (y[subset(y, ids, 0.1, seed=0, draw=0)] >= 0).all()


def test_mean_and_spread_over_draws_equal_scikit_learns() -> None:
    features = blobs(800)
    vectors, y, ids = features.labelled("train")
    test, truth, _ = features.labelled("test")
    scaler = StandardScaler().fit(vectors.astype(np.float64))
    x, queries = scaler.transform(vectors.astype(np.float64)), scaler.transform(test.astype(np.float64))
    found = labels.run(features, seed=5, fractions=[0.02, 0.1, 1.0], draws=3, strength=1e-2)
    for fraction, draws in ((0.02, 3), (0.1, 3), (1.0, 1)):
        scores = []
        for draw in range(draws):
            rows = subset(y, ids, fraction, seed=5, draw=draw)
            model = LogisticRegression(C=1 / (1e-2 * len(rows)), tol=1e-9, max_iter=20_000)
            scores.append(model.fit(x[rows], y[rows]).score(queries, truth))
        name = f"accuracy@{percent(fraction)}"
        assert found[name] == pytest.approx(np.mean(scores))
        assert found[f"{name}.chance"] == pytest.approx(np.mean(truth == 4))
        if draws > 1:
            assert found[f"{name}.spread"] == pytest.approx(np.std(scores, ddof=1))
    assert "accuracy@100%.spread" not in found
    assert found["accuracy@2%"] < found["accuracy@100%"]


def test_all_labels_is_the_linear_probe_and_one_draw_has_no_spread() -> None:
    features = blobs()
    full = linear.run(features, seed=0, strengths=[1e-2], held_out=0.1)
    found = labels.run(features, seed=0, fractions=[0.1, 1.0], draws=1, strength=1e-2)
    assert found["accuracy@100%"] == full["accuracy"]
    assert set(found) == {"accuracy@10%", "accuracy@10%.chance", "accuracy@100%", "accuracy@100%.chance"}


def test_percent_as_metrics_spell_it() -> None:
    assert [percent(f) for f in (0.01, 0.07, 0.005, 0.1, 1.0)] == ["1%", "7%", "0.5%", "10%", "100%"]


def test_settings_and_labels_that_cannot_be_used() -> None:
    for fraction in (0.0, 1.5, -0.1):
        with pytest.raises(ValueError, match="a fraction is"):
            labels.run(blobs(), seed=0, fractions=[fraction], draws=1, strength=1e-2)
    with pytest.raises(ValueError, match=r"probes\.labels\.draws is 0"):
        labels.run(blobs(), seed=0, fractions=[0.1], draws=0, strength=1e-2)
    lonely = blobs()
    lonely.labels[(lonely.labels == 0) & (lonely.splits == "train")] = -1
    with pytest.raises(ValueError, match='"class 0" has test samples but no train sample'):
        labels.run(lonely, seed=0, fractions=[0.1], draws=1, strength=1e-2)
