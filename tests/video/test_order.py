"""Order: half of the questions are in order, an oracle answers all, and the fit is scikit-learn's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from modalities.common import logistic
from modalities.video.augment import squares
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.mining import survey
from modalities.video.transfers import order
from tests.video.toys import videos

NONE = np.zeros((0, 5), np.int64)
SETTINGS: dict[str, Any] = {
    "limit": 0, "tuples": 12, "span_max": 0.5, "gap_min": 0.17, "similar": 0.1, "strengths": [1e-3, 1e-1],
    "held_out": 0.2,
}  # fmt: skip


def test_half_are_in_order_and_half_are_shown_backwards() -> None:
    rng = np.random.default_rng(0)
    tuples = [np.sort(rng.permutation(40)[:5]) + np.zeros((200, 1), np.int64) for _ in range(10)]
    which, frames, label = order.questions(tuples, rng)
    assert label.mean() == 0.5 and which.tolist() == np.repeat(np.arange(10), 200).tolist()
    low, high = frames[:, [0, 2]].min(1), frames[:, [0, 2]].max(1)
    inside = (frames[:, 1] > low) & (frames[:, 1] < high)
    np.testing.assert_array_equal(inside, label == 1)
    backwards = frames[:, 0] > frames[:, 2]
    assert 0.45 < backwards[label == 1].mean() < 0.55 and 0.45 < backwards[label == 0].mean() < 0.55
    for video, five in enumerate(tuples):
        assert (np.isin(frames[which == video], five[0])).all()
        assert set(np.unique(frames[(which == video) & (label == 0)][:, 1])) == {five[0, 0], five[0, 4]}


def test_vectors_of_three_frames_lie_side_by_side(toy_videos: Videos, tiny_frames: Frames) -> None:
    which, frames = np.array([3, 3, 10]), np.array([[0, 5, 9], [9, 5, 0], [2, 2, 15]])
    found = order.triples(tiny_frames, toy_videos, which, frames)
    for row, video, numbers in zip(found, which, frames, strict=True):
        one = [
            tiny_frames.vectors(squares(toy_videos, np.array([video]), np.array([number]), 16))[0]
            for number in numbers
        ]
        np.testing.assert_allclose(row, torch.stack(one).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_compared_is_how_far_apart_each_two_frames_are() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    for row, (first, middle, last) in zip(order.apart(vectors), vectors, strict=True):
        np.testing.assert_array_equal(row, np.abs([*(first - middle), *(middle - last), *(last - first)]))


class Clock(Frames):
    """Knows how far a frame is, since the toy's ground grows brighter with time."""

    def vectors(self, frames: torch.Tensor) -> torch.Tensor:
        level = frames.mean((1, 2, 3))[:, None]
        return torch.cat([level * 10, torch.randn(len(frames), 1) * 1e-3], 1)


def brighter(corpus: Videos) -> Videos:
    for k in range(len(corpus)):
        shard, start = corpus.where[k]
        size = int(corpus.sizes[k].prod() * 3)
        for t in range(int(corpus.counts[k])):
            corpus.shards[shard][start + t * size : start + (t + 1) * size] //= 4
            corpus.shards[shard][start + t * size : start + (t + 1) * size] += np.uint8(10 * t)
    return corpus


def test_it_finds_what_a_plane_can_tell(tiny_frames: Frames, tmp_path: Path) -> None:
    """On a line the middle one lies in between where two of the distances sum up to the third."""
    corpus = brighter(videos(32))
    clock = Clock(encoder=tiny_frames.encoder, frames=4, motion=0.0)
    found = order.run(clock, corpus, None, tmp_path, seed=0, **SETTINGS)
    assert found["accuracy.chance"] == 0.5 and found["accuracy"] > 0.95


def test_so_many_videos_of_each_split_are_asked_about(
    tiny_frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def over(some: Videos, look: Any, label: str) -> list[Any]:
        asked.append(some.ids)
        return [([], NONE, [])] * len(some)

    monkeypatch.setattr(survey, "over", over)
    corpus = videos(32)
    assert order.run(tiny_frames, corpus, None, Path(), seed=0, **(SETTINGS | {"limit": 5})) == {}
    assert asked == [[*corpus.only("train").ids[:5], *corpus.only("test").ids[:5]]]


def test_the_fit_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6)).astype(np.float32)
    y = (x[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(np.int64)
    which = np.repeat(np.arange(12), 10)
    standard = logistic.Standard(x)
    weights = order.fitted(standard(x), y, which, [1e-2], 0.2, seed=0)
    model = LogisticRegression(C=1 / (1e-2 * 120), tol=1e-9, max_iter=10_000)
    # Two classes: ours has a row of weights for each, which shares the penalty, so scikit-learn's is twice as strong.
    model.set_params(C=2 / (1e-2 * 120)).fit(standard(x)[:, :-1].numpy(), y)
    ours = (weights[1] - weights[0]).numpy()
    np.testing.assert_allclose(ours[:-1], model.coef_[0], atol=2e-3)
    np.testing.assert_allclose(ours[-1], model.intercept_[0], atol=2e-3)
    answers = order.predicted(standard(x), weights)
    np.testing.assert_array_equal(answers, model.predict(standard(x)[:, :-1].numpy()))


def test_a_corpus_that_stands_still_asks_nothing(tiny_frames: Frames, tmp_path: Path) -> None:
    corpus = videos(16)
    still = corpus.take(np.flatnonzero((corpus.labels == 0) & (np.arange(16) % 5 != 4)))
    assert order.run(tiny_frames, still, None, tmp_path, seed=0, **SETTINGS) == {}
    with pytest.raises(ValueError, match=r"video\.transfers\.order\.held_out is 1"):
        order.run(tiny_frames, still, None, tmp_path, seed=0, **(SETTINGS | {"held_out": 1.0}))
