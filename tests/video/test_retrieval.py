"""Retrieval: hit@k against a brute-force count, and nothing of a query's own group is ever found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.transfers import retrieval
from modalities.video.transfers.retrieval import by_chance, hits, nearest
from tests.video.toys import videos


def brute(corpus: Videos, encoder: Frames, k: int) -> float:
    """One query at a time, one gallery video at a time, in NumPy."""
    found = retrieval.vectors(encoder, corpus)
    right = []
    for query in np.flatnonzero(corpus.splits == "test"):
        near = [
            (-float(found[query] @ found[other]), corpus.labels[other])
            for other in np.flatnonzero(corpus.splits == "train")
            if corpus.groups[other] != corpus.groups[query]
        ]
        near.sort(key=lambda pair: pair[0])
        right.append(corpus.labels[query] in [label for _, label in near[:k]])
    return float(np.mean(right))


@pytest.fixture
def corpus() -> Videos:
    """Groups that straddle the splits, as official splits may have them."""
    return replace(videos(32), groups=[f"group {k % 6}" for k in range(32)])


def test_hits_are_those_of_a_brute_force_count(corpus: Videos, tiny_frames: Frames, tmp_path: Path) -> None:
    fit: Any = None
    found = retrieval.run(tiny_frames, corpus, fit, tmp_path, seed=0, k=[1, 2, 5, 10, 1000])
    for k in (1, 2, 5, 10):
        assert found[f"hit@{k}"] == brute(corpus, tiny_frames, k)
    assert "hit@1000" not in found and "hit@1" in found
    sheet = np.asarray(Image.open(tmp_path / "nearest.png"))
    assert sheet.shape[0] > 6 * 96 and len(np.unique(sheet)) > 50


def test_a_videos_own_group_is_never_found() -> None:
    gallery = np.array([[1, 0], [0.9, np.sqrt(0.19)], [0, 1]], np.float32)
    order, allowed = nearest(gallery[:1], gallery, ["a"], ["a", "b", "c"])
    assert order.tolist() == [[1, 2, 0]] and allowed.tolist() == [2]
    assert hits(np.array([[False, False, True]]), allowed, 3) == 0  # the last is of its own group
    assert hits(np.array([[False, True, False]]), allowed, 2) == 1


def test_chance_is_that_of_random_orders(corpus: Videos) -> None:
    train, test = corpus.only("train"), corpus.only("test")
    rng, counted = np.random.default_rng(0), []
    _, allowed = nearest(
        np.ones((len(test), 1), np.float32), np.ones((len(train), 1), np.float32), test.groups, train.groups
    )
    for _ in range(400):
        for query in range(len(test)):
            others = [k for k in range(len(train)) if train.groups[k] != test.groups[query]]
            drawn = rng.permutation(others)[:3]
            counted.append(test.labels[query] in train.labels[drawn])
    assert by_chance(test, train, allowed, 3) == pytest.approx(np.mean(counted), abs=0.03)


def test_without_labels_there_is_nothing_to_find(corpus: Videos, tiny_frames: Frames, tmp_path: Path) -> None:
    bare = replace(corpus, labels=np.full(32, -1))
    assert retrieval.run(tiny_frames, bare, None, tmp_path, seed=0, k=[1]) == {}
    with pytest.raises(ValueError, match="use numbers from 1 up"):
        retrieval.run(tiny_frames, corpus, None, tmp_path, seed=0, k=[0, 1])
