"""Sentence similarity: correlations as scipy has them, and the regression finds what is there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from modalities.common import logistic
from modalities.common.correlation import pearson, ranks, spearman
from modalities.text.corpus import Texts
from modalities.text.encoders import WordTable
from modalities.text.transfers import similarity
from modalities.text.vocabulary import train
from tests.text import toy

SETTINGS: dict[str, Any] = {"strengths": [1e-3, 1e-2], "held_out": 0.2}


def test_correlations_equal_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 200).astype(float), rng.normal(size=200)
    b += a
    assert pearson(a, b) == pytest.approx(pearsonr(a, b).statistic)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]
    assert pearson(np.full(5, 0.1), np.arange(5.0)) == 0


@pytest.fixture
def table() -> WordTable:
    torch.manual_seed(0)
    vocabulary = train([" ".join(f"w{k}" for k in range(60))], kind="words", size=512, min_count=1)
    found = WordTable(size=toy.tiny_trunk().spec["size"], pool="mean", dim=12).learn(vocabulary, "toy")
    torch.nn.init.normal_(found.table.weight)
    return found


def pairs(table: WordTable, count: int) -> dict[str, list[Any]]:
    """Sentences that share some words; the score is told by their vectors, from 0 to 5."""
    rng = np.random.default_rng(0)
    a, b = [], []
    for _ in range(count):
        words = rng.permutation(60)[:6]
        other = np.where(rng.random(6) < rng.random(), words, rng.integers(0, 60, 6))
        a.append(" ".join(f"w{k}" for k in words))
        b.append(" ".join(f"w{k}" for k in other))
    with torch.no_grad():
        apart = (table(table.tokens(a)) - table(table.tokens(b))).abs().mean(1).numpy()
    score = 5 * (1 - apart / apart.max())
    split = ["train" if k % 3 else "test" for k in range(count)]
    return {"a": a, "b": b, "score": score.tolist(), "split": split}


def run(table: WordTable, monkeypatch: pytest.MonkeyPatch, out: Path, **changes: Any) -> dict[str, float]:
    columns = pairs(table, 300) | changes.pop("columns", {})
    monkeypatch.setattr(Texts, "tables", lambda self, kind: {"toy": columns} if kind == "pairs" else {})
    keys = SETTINGS | {"centre": False} | changes
    return similarity.run(table, toy.of([["x"]]), None, out, seed=0, **keys)


def test_cosines_of_the_test_split_are_correlated(
    table: WordTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = run(table, monkeypatch, tmp_path)
    columns = pairs(table, 300)
    test = [k for k, split in enumerate(columns["split"]) if split == "test"]
    with torch.no_grad():
        first, second = (table(table.tokens([columns[side][k] for k in test])) for side in "ab")
    both = zip(first.double(), second.double(), strict=True)
    cosines = [round(float(torch.cosine_similarity(a, b, 0)), 6) for a, b in both]
    assert cosines.count(1.0) > 1  # equal texts are no better than each other
    scores = [columns["score"][k] for k in test]
    assert found["toy/spearman"] == pytest.approx(100 * spearmanr(cosines, scores).statistic, abs=1e-3)
    assert found["toy/pearson"] == pytest.approx(100 * pearsonr(cosines, scores).statistic, abs=1e-3)
    assert found["toy/fitted pearson"] > 80 and found["toy/spearman.chance"] == 0
    assert len(json.loads((tmp_path / "toy.json").read_text())) == 6


def test_without_splits_all_pairs_are_judged_and_nothing_is_fitted(
    table: WordTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = run(table, monkeypatch, tmp_path, columns={"split": [""] * 300})
    assert not any("fitted" in name for name in found) and "toy/spearman" in found


def test_centring_takes_a_common_part_off() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 4)).astype(np.float32)
    moved = similarity.cosine(a + 9, b + 9, centre=True)
    np.testing.assert_allclose(moved, similarity.cosine(a, b, centre=True), atol=1e-5)
    assert similarity.cosine(a + 9, b + 9, centre=False).min() > 0.8
    assert similarity.cosine(np.zeros((1, 4), np.float32), b[:1], centre=False)[0] == 0


def test_a_score_is_shared_by_the_whole_numbers_beside_it() -> None:
    found = similarity.shares(np.array([1.0, 3.25, 5.0]), 1, 5)
    assert found.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0.75, 0.25, 0], [0, 0, 0, 0, 1]]


def test_the_regression_on_shares_is_at_its_optimum() -> None:
    """At the optimum no direction helps: the gradient of the objective, by autograd, is zero."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.c_[rng.normal(size=(80, 3)), np.ones(80)])
    y = torch.from_numpy(similarity.shares(rng.uniform(0, 3, 80), 0, 3))
    weights = logistic.fit(x, y, strengths=[1e-2], tolerance=logistic.CLOSE)[0].clone().requires_grad_()
    decay = torch.tensor([1e-2, 1e-2, 1e-2, 0.0], dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(x @ weights.T, y) + 0.5 * (decay * weights.square()).sum()
    (slope,) = torch.autograd.grad(loss, weights)
    assert slope.abs().max() < 1e-5
    hard = torch.from_numpy(rng.integers(0, 4, 80))
    one_hot = torch.nn.functional.one_hot(hard, 4).double()
    both = [logistic.fit(x, each, strengths=[1e-2], tolerance=logistic.CLOSE)[0] for each in (hard, one_hot)]
    torch.testing.assert_close(both[0], both[1], atol=1e-5, rtol=1e-4)
