"""Fine-tuning: every labelled set, nested shares, and scores that scikit-learn agrees with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.text.corpus import Texts
from modalities.text.encoders import Trunk
from modalities.text.shared.tokenised import Tokenised
from modalities.text.transfers import fine_tune
from modalities.text.vocabulary import train
from tests.text import toy

KEYS: dict[str, Any] = {
    "seed": 0, "fractions": [0.5, 1.0], "samples": 0, "batch": 16, "optimizer": "adamw", "lr": 1e-3,
    "weight_decay": 0.0, "head_lr": 10.0,
}  # fmt: skip


@pytest.fixture
def trunk(tiny_trunk: Trunk, toy_texts: Texts) -> Trunk:
    texts = toy_texts.strings(range(len(toy_texts.sentences)))
    return tiny_trunk.learn(train(texts, kind="wordpiece", size=300, min_count=1), "x").eval()


def fit(pretext: fine_tune.FineTune, *, label: str, batch: int, **changes: object) -> None:
    optimizer = torch.optim.AdamW(pretext.parameters(), 3e-3)
    pretext.train()
    for step in range(40):
        rng = np.random.default_rng(step)
        loss = pretext(pretext.batch(rng.integers(0, pretext.samples(), batch), rng))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_topics_are_learnt_on_every_set_and_the_encoder_stays(
    trunk: Trunk, toy_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Texts, "tasks", lambda self: {"more": toy.documents(64, seed=5)})
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    found = fine_tune.run(trunk, toy_texts, fit, tmp_path, **KEYS)
    assert found["accuracy@100%"] > 0.8 and found["more/accuracy@100%"] > 0.8
    assert found["accuracy@50%.chance"] == pytest.approx(0.25)
    assert {"f1@50%", "more/f1@50%"} <= set(found)
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_nothing_labelled_gives_nothing(trunk: Trunk, tmp_path: Path) -> None:
    assert fine_tune.run(trunk, toy.of([["a b ."]] * 3), fit, tmp_path, **KEYS) == {}


def test_macro_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, answers = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    assert fine_tune.macro_f1(answers, truth) == pytest.approx(f1_score(truth, answers, average="macro"))


def test_tokenised_rows_are_what_the_encoder_reads(trunk: Trunk, toy_texts: Texts) -> None:
    table, index = Tokenised(trunk, toy_texts), np.array([7, 3, 40])
    assert torch.equal(table.rows(index), trunk.read(toy_texts, index))
