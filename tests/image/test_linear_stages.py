"""Linear stages: one probe a stage, each against the plain probe and scikit-learn on maps pooled by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from modalities.base import Features
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.transfers import linear_stages
from modalities.probes import linear
from tests.conftest import pictures

SETTINGS: dict[str, Any] = {"numbers": 64, "strengths": [1e-2], "held_out": 0.2}


@pytest.fixture
def corpus() -> Images:
    made = pictures(96, 20)
    return replace(made, splits=np.where(np.arange(96) // 4 % 4 == 3, "test", "train"))


def test_pooling_keeps_as_many_numbers_as_allowed() -> None:
    maps = torch.randn(2, 8, 8, 8)
    assert linear_stages.pool(maps, 8 * 16).shape == (2, 8 * 16)
    assert linear_stages.pool(maps, 8 * 16 - 1).shape == (2, 8 * 9)
    assert linear_stages.pool(maps, 3).shape == (2, 8)
    assert linear_stages.pool(maps, 10**6).shape == (2, 8 * 64)
    blocks = maps.view(2, 8, 4, 2, 4, 2).mean((3, 5)).flatten(1)
    torch.testing.assert_close(linear_stages.pool(maps, 8 * 16), blocks)


def test_every_stage_is_judged_as_scikit_learn_would(corpus: Images, tiny_encoder: ImageEncoder) -> None:
    found = linear_stages.run(tiny_encoder, corpus, None, Path(), seed=0, **SETTINGS)
    assert set(found) == {f"stage{k}{end}" for k in (1, 2, 3, 4) for end in ("", ".chance")}
    tiny_encoder.eval()
    with torch.no_grad():
        maps = tiny_encoder.maps(tiny_encoder.read(corpus, np.arange(len(corpus))))
    train, test = corpus.splits == "train", corpus.splits == "test"
    for number, stage in enumerate(maps, 1):
        side = {1: 2, 2: 2, 3: 1, 4: 1}[number]  # 8, 16, 32 and 64 channels, 64 numbers
        size = stage.shape[-1] // side
        x = stage.view(len(stage), -1, side, size, side, size).mean((3, 5)).flatten(1).double().numpy()
        scaler = StandardScaler().fit(x[train])
        model = LogisticRegression(C=1 / (1e-2 * train.sum()), tol=1e-9, max_iter=20_000)
        model.fit(scaler.transform(x[train]), corpus.labels[train])
        score = model.score(scaler.transform(x[test]), corpus.labels[test])
        assert found[f"stage{number}"] == pytest.approx(score, abs=1.01 / test.sum())
        assert found[f"stage{number}.chance"] == pytest.approx(0.25)


def test_the_last_stage_in_one_place_is_the_plain_probe(corpus: Images, tiny_encoder: ImageEncoder) -> None:
    vectors = tiny_encoder.eval()(tiny_encoder.read(corpus, np.arange(len(corpus)))).detach().numpy()
    features = Features(vectors, corpus.labels, corpus.splits, corpus.ids, corpus.classes)
    plain = linear.run(features, seed=3, strengths=[1e-3, 1e-1], held_out=0.2)
    settings = SETTINGS | {"strengths": [1e-3, 1e-1]}
    found = linear_stages.run(tiny_encoder, corpus, None, Path(), seed=3, **settings)
    assert found["stage4"] == plain["accuracy"]


def test_the_encoder_stays_as_it_is_and_further_sets_are_judged_by_name(
    corpus: Images, tiny_encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(corpus, labels=np.full(96, -1))
    monkeypatch.setattr(Images, "tasks", lambda self: {"other": corpus, "bare": bare} if self is bare else {})
    tiny_encoder.train()
    before = {name: value.clone() for name, value in tiny_encoder.state_dict().items()}
    found = linear_stages.run(tiny_encoder, bare, None, Path(), seed=0, **SETTINGS)
    assert {metric.partition("/")[0] for metric in found} == {"other"}
    assert tiny_encoder.training
    assert all(torch.equal(value, before[name]) for name, value in tiny_encoder.state_dict().items())


def test_without_maps_it_does_not_apply_and_wrong_numbers_are_named(
    corpus: Images, tiny_encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"image\.transfers\.linear_stages\.numbers is 0"):
        linear_stages.run(tiny_encoder, corpus, None, Path(), seed=0, **(SETTINGS | {"numbers": 0}))

    def none(self: Any, x: torch.Tensor) -> list[torch.Tensor]:
        raise NotImplementedError

    monkeypatch.setattr(type(tiny_encoder), "maps", none)
    assert linear_stages.run(tiny_encoder, corpus, None, Path(), seed=0, **SETTINGS) == {}
