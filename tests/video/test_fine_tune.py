"""Fine-tuning on clips: it learns, sees labelled training clips alone, and leaves the encoder it was given."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.fractions import subset
from modalities.video.encoders import Frames
from modalities.video.transfers import fine_tune
from modalities.video.transfers.fine_tune import FineTune, labelled
from stages import loop
from tests.conftest import train_keys
from tests.video.toys import videos

SETTINGS: dict[str, Any] = {
    "samples": 64, "batch": 8, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2, "head_lr": 10.0,
}  # fmt: skip


class Recorder:
    """The loop as a stage binds it, which keeps what it was given."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.tuned: list[FineTune] = []
        self.labels: list[str] = []

    def __call__(self, pretext: FineTune, *, label: str, **changes: Any) -> list[dict[str, float]]:
        self.tuned.append(pretext)
        self.labels.append(label)
        keys = train_keys("video") | changes
        return loop.fit(pretext, seed=0, scratch=self.scratch / label, label=label, **keys)


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.chdir(tmp_path)
    return Recorder(tmp_path)


def test_it_learns_and_leaves_the_encoder_it_was_given(
    tiny_frames: Frames, fit: Recorder, tmp_path: Path
) -> None:
    corpus = videos(32)
    bright = np.arange(32) % 2
    for k, label in enumerate(bright):
        shard, start = corpus.where[k]
        size = int(corpus.counts[k] * corpus.sizes[k].prod() * 3)
        corpus.shards[shard][start : start + size] //= 2
        corpus.shards[shard][start : start + size] += np.uint8(100 * label)
    corpus = replace(corpus, labels=bright, classes=["dark", "bright"])
    before = copy.deepcopy(tiny_frames.state_dict())
    settings = SETTINGS | {"samples": 288, "batch": 12}
    found = fine_tune.run(tiny_frames, corpus, fit, tmp_path, seed=0, fractions=[1.0], **settings)
    assert found == {"accuracy@100%": 1.0, "accuracy@100%.chance": 0.5}
    assert all(torch.equal(value, before[name]) for name, value in tiny_frames.state_dict().items())


def test_it_sees_the_labelled_training_clips_of_the_subset_and_no_others(
    tiny_frames: Frames, fit: Recorder, tmp_path: Path
) -> None:
    corpus = videos(32)
    corpus.labels[:4] = -1
    fine_tune.run(tiny_frames, corpus, fit, tmp_path, seed=7, fractions=[0.25, 1.0], **SETTINGS)
    _, train, _ = next(labelled(corpus))
    for fraction, tuned in zip((0.25, 1.0), fit.tuned, strict=True):
        rows = subset(train.labels, train.ids, fraction, seed=7, draw=0)
        assert tuned.corpus.ids == [train.ids[row] for row in rows]
        batch = tuned.batch(np.arange(8), np.random.default_rng(0))
        assert batch["image"].shape == (8, 3, 4, 16, 16)
        assert batch["label"].tolist() == tuned.corpus.labels[np.arange(8) % len(tuned.corpus)].tolist()
    assert fit.labels == ["fine_tune 25%", "fine_tune 100%"]


def test_the_accuracy_is_that_of_a_slow_second_count(tiny_frames: Frames) -> None:
    corpus = videos(16)
    tuned = FineTune(tiny_frames, corpus, Path(), batch=8, head_lr=1.0, frozen=False)  # type: ignore[arg-type]
    torch.nn.init.normal_(tuned.head.weight, generator=torch.Generator().manual_seed(0))
    tuned.eval()
    right = 0
    for k in range(16):
        with torch.no_grad():
            clip = tiny_frames.read(corpus, np.array([k]))[0]
            logits = tuned.head(torch.stack([tiny_frames(clip[None, :, t])[0] for t in range(4)]).mean(0))
        right += int(logits.argmax() == corpus.labels[k])
    assert tuned.accuracy(corpus) == right / 16  # type: ignore[arg-type]


def test_without_labels_nothing_is_tuned(tiny_frames: Frames, fit: Recorder, tmp_path: Path) -> None:
    bare = replace(videos(16), labels=np.full(16, -1))
    assert (
        fine_tune.run(tiny_frames, bare, fit, tmp_path, seed=0, fractions=[1.0], **SETTINGS) == {}
        and not fit.tuned
    )
    with pytest.raises(ValueError, match="a fraction is 2"):
        fine_tune.run(tiny_frames, bare, fit, tmp_path, seed=0, fractions=[2.0], **SETTINGS)
