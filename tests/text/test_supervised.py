"""Supervised: the corpus's labels, or those of all tasks at once, each among its own classes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.text.corpus import Texts
from modalities.text.pretexts.supervised import Supervised
from tests.text import toy


def test_a_corpus_with_labels_is_learnt(toy_texts: Texts, tmp_path: Path) -> None:
    made = toy.make("supervised", toy_texts.only("train"), tmp_path)
    batch = made.batch(np.arange(32), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        made(batch)["loss"].backward()
        optimizer.step()
    assert made(batch)["accuracy"] > 0.95
    assert made.chance()["accuracy"] == pytest.approx(0.25)


def test_without_labels_it_asks_each_text_for_a_class_of_its_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = toy.of([["x y"], ["y z"], ["z z"]], labels=[0, 1, 0])
    two = toy.of([["x x"], ["y"]], labels=[2, -1], splits=["train", "train"])
    monkeypatch.setattr(Texts, "tasks", lambda self: {"one": one, "two": two})
    made = toy.make("supervised", toy.of([["x y z ."]] * 4), tmp_path)
    assert isinstance(made, Supervised)
    assert len(made.corpus) == 4 and made.head.out_features == 5
    with torch.no_grad():
        made.head.weight.zero_()
        made.head.bias.copy_(torch.tensor([0.0, 1.0, 9.0, 9.0, 10.0]))
    batch = made.batch(np.arange(4), np.random.default_rng(0))
    assert batch["label"].tolist() == [0, 1, 0, 4]
    # In the first task class 1 wins, although all of the second task's score higher.
    assert made(batch)["accuracy"] == pytest.approx(0.5)
    first = torch.log_softmax(torch.tensor([0.0, 1.0]), 0)
    second = torch.log_softmax(torch.tensor([9.0, 9.0, 10.0]), 0)
    want = -(first[0] + first[1] + first[0] + second[2]) / 4
    torch.testing.assert_close(made(batch)["loss"], want)
    assert made.chance()["accuracy"] == pytest.approx(3 / 4)


def test_no_label_anywhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name a labelled set in text\.ingest\.tasks"):
        toy.make("supervised", toy.of([["x y z ."]] * 4), tmp_path)
