"""Fine-tuning: which pictures it sees, what it may change, and that it learns; with the project's own loop."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modalities.common import embedding
from modalities.common.device import threads
from modalities.common.fractions import subset
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.transfers import fine_tune
from modalities.image.transfers.fine_tune import FineTune
from stages import loop
from tests.conftest import pictures, train_keys

SETTINGS: dict[str, Any] = {
    "draws": 1,
    "samples": 64,
    "batch": 8,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 1e-2,
    "head_lr": 10.0,
}


class Recorder:
    """The loop as a stage binds it, which keeps what it was given."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.tuned: list[FineTune] = []
        self.calls: list[dict[str, Any]] = []

    def __call__(self, pretext: FineTune, *, label: str, **changes: Any) -> list[dict[str, float]]:
        self.tuned.append(pretext)
        self.calls.append({"label": label} | changes)
        settings = train_keys() | changes
        return loop.fit(pretext, seed=0, scratch=self.scratch / label, label=label, **settings)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Batches of eight small pictures: two threads would spend their time waiting for each other."""
    with threads(1):
        yield


def bars(count: int) -> Images:
    """The toy corpus with every class in both splits; a quarter of each is for testing."""
    corpus = pictures(count, 20)
    splits = np.where(np.arange(count) // 4 % 4 == 3, "test", "train")
    return replace(corpus, splits=splits)


@pytest.fixture
def corpus() -> Images:
    return bars(48)


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.chdir(tmp_path)
    return Recorder(tmp_path)


def test_it_learns_and_leaves_the_encoder_it_was_given(tiny_encoder: ImageEncoder, fit: Recorder) -> None:
    corpus = bars(160)
    before = copy.deepcopy(tiny_encoder.state_dict())
    settings = SETTINGS | {"samples": 4800, "batch": 24}
    found = fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[1.0], **settings)
    # Two of the four angles are each other's mirror image and crop_flip mirrors: .75 is all that can be learnt.
    assert found["accuracy@100%"] >= 0.7
    assert found["accuracy@100%.chance"] == pytest.approx(0.25, abs=0.05)
    for name, value in tiny_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(fit.tuned[0].encoder.state_dict()["stem.0.weight"], before["stem.0.weight"])


def test_it_sees_the_labelled_train_pictures_of_the_subset_and_no_others(
    corpus: Images, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    corpus.labels[:8] = -1
    fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=7, fractions=[0.25, 1.0], **SETTINGS)
    train = corpus.take(np.flatnonzero((corpus.splits == "train") & (corpus.labels >= 0)))
    for fraction, tuned in zip((0.25, 1.0), fit.tuned, strict=True):
        rows = subset(train.labels, train.ids, fraction, seed=7, draw=0)
        assert tuned.corpus.ids == [train.ids[row] for row in rows]
    assert fit.tuned[1].corpus.ids == train.ids
    assert [call["label"] for call in fit.calls] == ["fine_tune 25%", "fine_tune 100%"]


def test_several_draws_give_mean_and_spread_and_see_the_pictures_of_the_probes_draws(
    corpus: Images, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    settings = SETTINGS | {"draws": 3}
    found = fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=7, fractions=[0.25, 1.0], **settings)
    train, test = corpus.only("train"), corpus.only("test")
    assert len(fit.tuned) == 4 and len({call["label"] for call in fit.calls}) == 4
    for draw, tuned in enumerate(fit.tuned[:3]):
        rows = subset(train.labels, train.ids, 0.25, seed=7, draw=draw)
        assert tuned.corpus.ids == [train.ids[row] for row in rows]
    scores = [tuned.accuracy(test) for tuned in fit.tuned]
    assert found["accuracy@25%"] == pytest.approx(np.mean(scores[:3]))
    assert found["accuracy@25%.spread"] == pytest.approx(np.std(scores[:3], ddof=1))
    assert found["accuracy@100%"] == scores[3] and "accuracy@100%.spread" not in found


def test_all_labels_is_the_plain_run(corpus: Images, tiny_encoder: ImageEncoder, fit: Recorder) -> None:
    found = fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[1.0], **SETTINGS)
    plain = FineTune(
        copy.deepcopy(tiny_encoder), corpus.only("train"), Path(), batch=8, head_lr=10.0, frozen=False
    )
    fit(plain, label="plain", **{k: v for k, v in SETTINGS.items() if k not in ("head_lr", "draws")})
    assert plain.accuracy(corpus.only("test")) == found["accuracy@100%"]
    for mine, other in zip(plain.parameters(), fit.tuned[0].parameters(), strict=True):
        assert torch.equal(mine, other)


def test_the_accuracy_is_that_of_a_slow_second_count(
    corpus: Images, tiny_encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "READ", 5)
    tuned = FineTune(tiny_encoder, corpus, Path(), batch=8, head_lr=1.0, frozen=False)
    nn.init.normal_(tuned.head.weight, generator=torch.Generator().manual_seed(0))
    right = 0
    tuned.eval()
    for k in range(len(corpus)):
        with torch.no_grad():
            logits = tuned.head(tuned.encoder(tuned.encoder.read(corpus, np.array([k]))))[0]
        right += int(logits.argmax() == corpus.labels[k])
    assert tuned.accuracy(corpus) == right / len(corpus)


@pytest.mark.parametrize(("fraction", "frozen"), [(0.05, True), (0.1, False)])
def test_batch_norm_keeps_its_statistics_below_a_tenth_of_the_labels(
    fraction: float, frozen: bool, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    # Two epochs: between them the loop encodes and puts the encoder back into training mode.
    corpus = bars(160)
    fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[fraction], **SETTINGS)
    assert fit.tuned[0].samples() // 8 < 64 // 8
    before, after = tiny_encoder.state_dict(), fit.tuned[0].encoder.state_dict()
    kept = [torch.equal(before[name], after[name]) for name in before if "running" in name]
    assert kept and all(kept) == frozen


def test_fewer_pictures_than_a_batch_are_numbered_several_times(
    corpus: Images, tiny_encoder: ImageEncoder
) -> None:
    few = corpus.take(np.arange(3))
    tuned = FineTune(tiny_encoder, few, Path(), batch=8, head_lr=10.0, frozen=True)
    assert tuned.samples() == 9
    batch = tuned.batch(np.arange(9), np.random.default_rng(0))
    assert batch["label"].tolist() == few.labels.tolist() * 3
    assert batch["image"].shape == (9, 3, 16, 16)


def test_the_head_starts_at_zero_and_asks_for_its_own_rate(
    corpus: Images, tiny_encoder: ImageEncoder
) -> None:
    tuned = FineTune(tiny_encoder, corpus, Path(), batch=8, head_lr=7.0, frozen=False)
    batch = tuned.batch(np.arange(8), np.random.default_rng(0))
    assert tuned(batch)["loss"].item() == pytest.approx(np.log(4))
    assert {getattr(p, "lr_scale", 1.0) for p in tuned.head.parameters()} == {7.0}
    assert {getattr(p, "lr_scale", 1.0) for p in tuned.encoder.parameters()} == {1.0}


def test_settings_and_labels_that_cannot_be_used(
    corpus: Images, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    with pytest.raises(ValueError, match="a fraction is 2"):
        fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[0.1, 2.0], **SETTINGS)
    with pytest.raises(ValueError, match=r"image\.transfers\.fine_tune\.draws is 0"):
        fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[0.1], **(SETTINGS | {"draws": 0}))
    lonely = bars(48)
    lonely.labels[(lonely.labels == 1) & (lonely.splits == "train")] = -1
    lonely.labels[(lonely.splits == "test")] = 1
    with pytest.raises(ValueError, match='"class 1" has test samples but no train sample'):
        fine_tune.run(tiny_encoder, lonely, fit, Path(), seed=0, fractions=[0.1], **SETTINGS)
    corpus.labels[:] = -1
    with pytest.raises(ValueError, match="the train split has no labelled picture"):
        fine_tune.run(tiny_encoder, corpus, fit, Path(), seed=0, fractions=[0.1], **SETTINGS)
    assert not fit.calls


def test_where_the_corpus_has_no_labels_its_labelled_tasks_are_tuned_on(
    corpus: Images, tiny_encoder: ImageEncoder, fit: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = replace(corpus, labels=np.full(len(corpus), -1))
    tasks = {"more": bars(64), "bare": blind}
    monkeypatch.setattr(Images, "tasks", lambda self: tasks)
    found = fine_tune.run(tiny_encoder, blind, fit, Path(), seed=0, fractions=[1.0], **SETTINGS)
    assert set(found) == {"more/accuracy@100%", "more/accuracy@100%.chance"}
    assert len(fit.tuned[0].corpus) == np.sum(tasks["more"].splits == "train")
    assert set(fine_tune.sets(corpus)) == {""}
    tasks.pop("more")
    with pytest.raises(ValueError, match="no labelled picture"):
        fine_tune.run(tiny_encoder, blind, fit, Path(), seed=0, fractions=[1.0], **SETTINGS)
