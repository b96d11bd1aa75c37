"""The linear probe and its regression against scikit-learn; what is chosen, and on what."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from sklearn.preprocessing import StandardScaler

from modalities.base import Features
from modalities.common import logistic
from modalities.probes import linear
from tests.probes.blobs import blobs

STRENGTHS = [1e-2, 1.0, 1e-4, 1e-3]


def twin(x: Any, y: Any, strength: float) -> Any:
    """scikit-learn's, with its own standardisation, to a far smaller gradient."""
    scaler = StandardScaler().fit(x.astype(np.float64))
    model = LogisticRegression(C=1 / (strength * len(x)), tol=1e-9, max_iter=20_000)
    return scaler, model.fit(scaler.transform(x.astype(np.float64)), y)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("tolerance", "agrees"), [(logistic.CLOSE, 1e-3), (1e-10, 1e-5)])
def test_the_optimum_is_scikit_learns_for_every_strength(
    classes: int, tolerance: float, agrees: float
) -> None:
    features = blobs(classes=classes)
    vectors, labels, _ = features.labelled("train")
    test, _, _ = features.labelled("test")
    standard = logistic.Standard(vectors)
    found = logistic.fit(
        standard(vectors), torch.from_numpy(labels), strengths=STRENGTHS, tolerance=tolerance
    )
    for strength, weights in zip(STRENGTHS, found, strict=True):
        # Two classes: softmax over two weight vectors, w and -w, pays half of what a sigmoid with 2w pays.
        scaler, model = twin(vectors, labels, strength if classes > 2 else strength / 2)
        mine = (standard(test) @ weights.T).softmax(1).numpy()
        other = model.predict_proba(scaler.transform(test.astype(np.float64)))
        np.testing.assert_allclose(mine, other, rtol=0, atol=agrees)


def test_a_looser_tolerance_is_near_and_a_warm_start_changes_no_optimum() -> None:
    vectors, labels, _ = blobs().labelled("train")
    x, y = logistic.Standard(vectors)(vectors), torch.from_numpy(labels)
    path = logistic.fit(x, y, strengths=STRENGTHS, tolerance=logistic.CLOSE)
    rough = logistic.fit(x, y, strengths=STRENGTHS, tolerance=logistic.ROUGH)
    for strength, warm, near in zip(STRENGTHS, path, rough, strict=True):
        cold = logistic.fit(x, y, strengths=[strength], tolerance=logistic.CLOSE)[0]
        best = (x @ cold.T).softmax(1)
        torch.testing.assert_close((x @ warm.T).softmax(1), best, atol=1e-4, rtol=0)
        torch.testing.assert_close((x @ near.T).softmax(1), best, atol=1e-2, rtol=0)


def test_the_gradient_is_that_of_autograd() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(30, 5).double(), torch.randint(0, 3, (30,))
    weights = torch.randn(3, 5).double().requires_grad_()
    decay = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.0]).double()
    value = torch.nn.functional.cross_entropy(x @ weights.T, y) + 0.15 * weights[:, :4].square().sum()
    (expected,) = torch.autograd.grad(value, weights)
    mine, slope = logistic._objective(x, y, weights.detach(), decay)
    torch.testing.assert_close(mine, value.detach())
    torch.testing.assert_close(slope, expected)


def test_a_feature_that_never_changes_stays_at_zero() -> None:
    vectors, _, _ = blobs().labelled("train")
    x = logistic.Standard(vectors)(vectors)
    assert x[:, 3].abs().max() < 1e-6
    assert (x[:, -1] == 1).all()
    np.testing.assert_allclose(x[:, 4:-1].std(0, correction=0).numpy(), 1)


def test_the_whole_probe_equals_scikit_learn_with_the_strength_that_its_split_prefers() -> None:
    features = blobs()
    vectors, labels, ids = features.labelled("train")
    test, truth, _ = features.labelled("test")
    seen = linear.fitted(labels, ids, held_out=0.2, seed=3)
    out = np.setdiff1d(np.arange(len(labels)), seen)
    scores = []
    for strength in sorted(STRENGTHS, reverse=True):
        scaler = StandardScaler().fit(vectors.astype(np.float64))
        x = scaler.transform(vectors.astype(np.float64))
        model = LogisticRegression(C=1 / (strength * len(seen)), tol=1e-9, max_iter=20_000)
        scores.append(model.fit(x[seen], labels[seen]).score(x[out], labels[out]))
    best = sorted(STRENGTHS, reverse=True)[int(np.argmax(scores))]
    scaler, model = twin(vectors, labels, best)
    guess = model.predict(scaler.transform(test.astype(np.float64)))
    found = linear.run(features, seed=3, strengths=STRENGTHS, held_out=0.2)
    assert found["accuracy"] == pytest.approx(np.mean(guess == truth))
    assert found["mean_per_class"] == pytest.approx(balanced_accuracy_score(truth, guess))
    assert found["mean_per_class.chance"] == pytest.approx(1 / 5)


def test_the_choice_reads_no_test_label(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    choose = linear.choose

    def watch(*args: Any) -> float:
        chosen.append(choose(*args))
        return chosen[-1]

    monkeypatch.setattr(linear, "choose", watch)
    features, shuffled = blobs(), blobs()
    test = shuffled.splits == "test"
    shuffled.labels[test] = np.random.default_rng(1).permutation(shuffled.labels[test])
    first, second = (linear.run(f, seed=0, strengths=STRENGTHS, held_out=0.1) for f in (features, shuffled))
    assert chosen[0] == chosen[1]
    assert first["accuracy"] > second["accuracy"]


def test_every_class_is_held_out_in_its_share() -> None:
    _, labels, ids = blobs(count=2000).labelled("train")
    seen = linear.fitted(labels, ids, held_out=0.1, seed=0)
    for label in range(5):
        count = int((labels == label).sum())
        assert int((labels[seen] == label).sum()) == round(0.9 * count)
    assert not np.array_equal(seen, linear.fitted(labels, ids, held_out=0.1, seed=1))


def test_classes_that_the_labels_skip_are_no_trouble() -> None:
    features = blobs()
    found = linear.run(features, seed=0, strengths=[1e-2], held_out=0.1)
    names = [f"class {k}" for k in range(20)]
    sparse = Features(features.vectors, features.labels * 3 + 1, features.splits, features.ids, names)
    again = linear.run(sparse, seed=0, strengths=[1e-2], held_out=0.1)
    assert set(again.pop("confusion")) == {f"class {k * 3 + 1}" for k in range(5)}
    assert again == {name: value for name, value in found.items() if name != "confusion"}


def test_confusion_counts_are_scikit_learns_and_hold_what_accuracy_says() -> None:
    rng = np.random.default_rng(0)
    truth, found, names = rng.integers(0, 4, 200), rng.integers(0, 4, 200), list("abcd")
    told = linear.confusion(truth, found, names)
    expected = confusion_matrix(truth, found)
    assert [[told[a].get(b, 0) for b in names] for a in names] == expected.tolist()
    metrics = linear.run(blobs(), seed=0, strengths=[1e-2], held_out=0.1)
    called = metrics["confusion"]
    total = sum(sum(row.values()) for row in called.values())
    assert sum(row.get(name, 0) for name, row in called.items()) / total == metrics["accuracy"]
    each = [row.get(name, 0) / sum(row.values()) for name, row in called.items()]
    assert np.mean(each) == pytest.approx(metrics["mean_per_class"])


def test_settings_and_labels_that_cannot_be_used() -> None:
    features = blobs()
    for held_out in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"probes\.linear\.held_out is"):
            linear.run(features, seed=0, strengths=STRENGTHS, held_out=held_out)
    with pytest.raises(ValueError, match="none is held out"):
        linear.run(features, seed=0, strengths=STRENGTHS, held_out=1e-3)
    for strengths in ([0.0, 1.0], []):
        with pytest.raises(ValueError, match="strengths are"):
            linear.run(features, seed=0, strengths=strengths, held_out=0.1)
    lonely = blobs()
    lonely.labels[(lonely.labels == 2) & (lonely.splits == "train")] = -1
    with pytest.raises(ValueError, match='"class 2" has test samples but no train sample'):
        linear.run(lonely, seed=0, strengths=STRENGTHS, held_out=0.1)
    same = blobs()
    same.labels[:] = 1
    with pytest.raises(ValueError, match='all labels are "class 1"'):
        linear.run(same, seed=0, strengths=STRENGTHS, held_out=0.1)
