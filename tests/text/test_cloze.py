"""Cloze: passages and words are fairly chosen, and an oracle is always right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.text.corpus import Texts
from modalities.text.encoders import MaskedTrunk
from modalities.text.pretexts.causal_lm import CausalLM
from modalities.text.shared.cloze import CHOICES, last_words
from modalities.text.shared.likelihood import continued
from modalities.text.transfers import cloze
from modalities.text.vocabulary import train
from tests.text import toy


def varied() -> Texts:
    rng = np.random.default_rng(0)
    words = [
        a + b for a in ("ka", "lo", "mi", "pu", "ra") for b in ("ten", "vor", "sil", "mak", "dun", "gar")
    ]
    made = [
        ["The {} of {} met {} and {}.".format(*rng.choice(words, 4)) for _ in range(5)] for _ in range(40)
    ]
    return toy.of(made, splits=["test" if k % 2 else "train" for k in range(40)])


def test_passages_lack_their_last_word_and_choices_hold_it_once() -> None:
    corpus = varied()
    asked = last_words(corpus.only("test"), count=50, seed=0)
    raw = corpus.only("test").documents(range(20))
    assert 40 <= len(asked) <= 50
    for each in asked:
        assert any(text.startswith(f"{each.context} {each.word}.") for text in raw)
        assert "." in each.context  # never a document's first sentence
        assert len(set(each.choices)) == CHOICES and each.choices.count(each.word) == 1
    place = np.array([each.choices.index(each.word) for each in asked])
    assert len(set(place.tolist())) > 5
    assert last_words(toy.of([["One .", "Two ."]]), count=5, seed=0) == []


def test_causal_measures_equal_a_loop_over_passages(tmp_path: Path) -> None:
    corpus = varied()
    pretext = toy.make("causal_lm", corpus.only("train"), tmp_path)
    assert isinstance(pretext, CausalLM)
    found = cloze.run(pretext.encoder, corpus, None, tmp_path, seed=0, passages=30)
    right = []
    for each in last_words(corpus.only("test"), count=30, seed=0):
        scores = [continued(pretext.encoder, [(each.context, " " + word)])[0][0] for word in each.choices]
        right.append(each.choices[int(np.argmax(scores))] == each.word)
    assert found["last_word_choice"] == pytest.approx(np.mean(right))
    assert found["last_word_choice.chance"] == 0.1 and 0 <= found["last_word"] <= 1
    assert (tmp_path / "passages.json").exists()


class Knows(MaskedTrunk):
    """Scores the true token at a hidden place highest, since it has seen the sentences."""

    def states(self, x: Tensor) -> Tensor:
        known = self.tokens(self.texts)  # type: ignore[arg-type]
        out = torch.zeros(*x.shape, len(self.vocabulary))
        for k, row in enumerate(x):
            same = (known[:, : len(row)] == row) | (row == self.vocabulary.mask)
            true = known[same.all(1).nonzero()[0, 0], : len(row)]
            out[k, torch.arange(len(row)), true] = 1.0
        return out

    def logits(self, states: Tensor) -> Tensor:
        return states


def test_an_oracle_of_hidden_words_is_always_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloze, "COMMON", 3)
    corpus = varied()
    every = corpus.strings(range(len(corpus.sentences)))
    size = {key: value for key, value in toy.SIZE.items() if key != "pool"}
    trunk = Knows(size=size, pool="mean", form="bert", factor=0, share=False)
    trunk.learn(train(every, kind="wordpiece", size=500, min_count=1), "x")
    trunk.texts = corpus.only("test").strings(range(100))  # type: ignore[assignment]
    found = cloze.run(trunk, corpus, None, tmp_path, seed=0, passages=40)
    assert found["hidden_word"] > 0.7 and found["hidden_word@5"] >= found["hidden_word"]
    assert found["hidden_word_choice"] > 0.7 and found["hidden_word_choice.chance"] == 0.1
    assert found["hidden_word.chance"] < 0.3


def test_other_encoders_have_none(toy_texts: Texts, tmp_path: Path) -> None:
    assert cloze.run(toy.tiny_trunk(), toy_texts, None, tmp_path, seed=0, passages=5) == {}
