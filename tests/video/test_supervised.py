"""Supervised: it learns labels of clips, from labelled videos alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.pretexts.supervised import Supervised
from stages import loop
from tests.conftest import train_keys
from tests.video.toys import tiny, videos


def test_on_separable_videos_accuracy_reaches_one(tmp_path: Path) -> None:
    corpus = videos(16)
    bright = np.arange(16) % 2
    for k, label in enumerate(bright):
        shard, start = corpus.where[k]
        size = int(corpus.counts[k] * corpus.sizes[k].prod() * 3)
        corpus.shards[shard][start : start + size] //= 2
        corpus.shards[shard][start : start + size] += np.uint8(100 * label)
    corpus = replace(corpus, labels=bright, classes=["dark", "bright"])
    pretext = Supervised(tiny(), corpus, tmp_path)
    keys = train_keys("video", samples=240, batch=12, lr=1e-2)
    rows = loop.fit(pretext, seed=0, scratch=tmp_path / "s", label="toy", **keys)
    assert rows[-1]["accuracy"] == 1 and rows[-1]["loss"] < 0.1


def test_unlabelled_videos_are_left_out(toy_videos: Videos, tiny_frames: Frames, tmp_path: Path) -> None:
    some = replace(toy_videos, labels=np.where(np.arange(24) < 10, toy_videos.labels, -1))
    pretext = Supervised(tiny_frames, some, tmp_path)
    assert pretext.samples() == 10
    batch = pretext.batch(np.arange(10), np.random.default_rng(0))
    assert (batch["label"] >= 0).all() and batch["clip"].shape == (10, 3, 4, 16, 16)
    assert pretext.chance() == {"accuracy": 3 / 10}


def test_a_corpus_without_labels_is_refused(toy_videos: Videos, tiny_frames: Frames, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"supervised needs labels; take it out of run\.video"):
        Supervised(tiny_frames, replace(toy_videos, labels=np.full(24, -1)), tmp_path)


def test_its_preview_is_a_strip_of_frames_of_some_videos(
    toy_videos: Videos, tiny_frames: Frames, tmp_path: Path
) -> None:
    Supervised(tiny_frames, toy_videos, tmp_path).preview(tmp_path / "p.png", np.random.default_rng(0))
    sheet = np.asarray(Image.open(tmp_path / "p.png"))
    assert sheet.shape[0] > 6 * 96 and sheet.shape[1] > 8 * 96 and len(np.unique(sheet)) > 50
