"""Sentence ordering: decoding against brute force, measures against scipy, and a real gap for an oracle."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.text.corpus import Texts
from modalities.text.encoders import Trunk
from modalities.text.shared.ordering import decode, judged, tau
from modalities.text.transfers import ordering
from modalities.text.vocabulary import train
from tests.text import toy

KEYS: dict[str, Any] = {"sentences": 4, "passages": 60, "held_out": 30, "strength": 1e-3}


def test_decoding_equals_brute_force_for_five() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        before = rng.normal(size=(5, 5))
        best = max(
            itertools.permutations(range(5)),
            key=lambda order: sum(before[order[i], order[j]] for i in range(5) for j in range(i + 1, 5)),
        )
        assert decode(before).tolist() == list(best)


def test_many_units_are_sorted_by_what_they_stand_before() -> None:
    truth = np.random.default_rng(1).permutation(12)
    place = np.argsort(truth)
    before = np.where(place[:, None] < place[None], -0.05, -3.0)
    assert decode(before).tolist() == truth.tolist()


def test_tau_is_scipy_s_and_measures_are_means_over_passages() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(2)
    orders = [rng.permutation(rng.integers(3, 6)) for _ in range(200)]
    for order in orders:
        assert tau(order) == pytest.approx(kendalltau(order, np.arange(len(order))).statistic)
    found = judged(orders)
    assert found["accuracy"] == pytest.approx(np.mean([(o == np.arange(len(o))).mean() for o in orders]))
    assert found["pmr"] == pytest.approx(np.mean([(o == np.arange(len(o))).all() for o in orders]))
    assert found["accuracy.chance"] == pytest.approx(np.mean([1 / len(o) for o in orders]))
    perfect = judged([np.arange(3)])
    assert (perfect["accuracy"], perfect["pmr"], perfect["tau"]) == (1, 1, 1)
    assert perfect["pmr.chance"] == pytest.approx(1 / 6)


class Places(Trunk):
    """The vector of a sentence is the number that its first word is."""

    def forward(self, x: Tensor) -> Tensor:
        values = [int(self.vocabulary.entries[row[1]][1:]) for row in x.tolist()]
        return torch.tensor(values, dtype=torch.float32)[:, None] * torch.ones(1, self.dim)


def numbered() -> Texts:
    rng = np.random.default_rng(0)
    made = [[f"n{k} {rng.choice(toy.TOPICS[0])} ." for k in range(4)] for _ in range(60)]
    splits = ["test" if k % 3 == 0 else "train" for k in range(60)]
    return toy.of(made, splits=splits)


def made(kind: type[Trunk], corpus: Texts) -> Trunk:
    size = {key: value for key, value in toy.SIZE.items() if key != "pool"}
    torch.manual_seed(0)
    trunk = kind(size=size, pool="mean", form="bert", factor=0, share=False)
    words = train(corpus.strings(range(len(corpus.sentences))), kind="words", size=200, min_count=1)
    return trunk.learn(words, "x")


def test_vectors_that_tell_the_place_are_ordered_and_others_are_not(tmp_path: Path) -> None:
    corpus = numbered()
    (tmp_path / "a").mkdir()
    found = ordering.run(made(Places, corpus), corpus, None, tmp_path / "a", seed=0, **KEYS)
    assert found["tau"] == 1 and found["pmr"] == 1 and found["accuracy"] == 1
    assert (tmp_path / "a" / "passages.json").exists()

    class Blind(Trunk):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), self.dim)

    # All orders are equal to it, and the first is read out: only a shuffled input makes that chance.
    (tmp_path / "b").mkdir()
    blind = ordering.run(made(Blind, corpus), corpus, None, tmp_path / "b", seed=0, **KEYS)
    assert blind["accuracy"] < 0.5 and abs(blind["tau"]) < 0.4 and blind["pmr"] < 0.3


def test_a_split_without_passages_has_no_measure(tmp_path: Path) -> None:
    corpus = toy.of([["A ship .", "A storm ."]] * 4, splits=["train", "train", "test", "test"])
    assert ordering.run(made(Trunk, corpus), corpus, None, tmp_path, seed=0, **KEYS) == {}
