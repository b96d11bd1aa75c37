"""Motion and tuples in order: measured on clips whose speed is known, checked by a slow second reading of the table."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from modalities.common import parallel
from modalities.video.corpus import Videos
from modalities.video.mining import motion, survey, tuples
from tests.video.toys import videos

Frames = NDArray[np.uint8]


def texture(height: int, width: int, rng: np.random.Generator, grain: int) -> Frames:
    """Smooth random colours, details `grain` pixels wide."""
    coarse = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3)).astype(np.uint8)
    fine = cv2.resize(coarse, None, fx=grain, fy=grain, interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine[:height, :width], np.uint8)


def panned(offsets: NDArray[np.int64], height: int = 48, width: int = 64, seed: int = 0) -> Frames:
    """A texture seen through a window that has moved right by so many pixels."""
    ground = texture(height, width + int(offsets.max()) + 1, np.random.default_rng(seed), 6)
    return np.stack([ground[:, x : x + width] for x in offsets])


def test_a_pan_has_the_speed_it_was_given_and_a_cut_has_none() -> None:
    frames = np.concatenate([panned(2 * np.arange(10)), panned(np.arange(8), seed=1)])
    found = motion.motion(frames, 12.0, [(0, 10), (10, 18)])
    assert np.array_equal(np.flatnonzero(np.isnan(found)), [0, 10])
    assert found[1:10] == pytest.approx(np.full(9, 2 * 12 / 48), rel=0.15)  # the border has nothing to match
    assert found[11:] == pytest.approx(np.full(7, 12 / 48), rel=0.15)


def test_speed_does_not_depend_on_the_stored_size() -> None:
    small = panned(2 * np.arange(6))
    large = np.stack([cv2.resize(frame, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for frame in small])
    slow, fast = (motion.motion(frames.astype(np.uint8), 12.0, [(0, 6)])[1:] for frames in (small, large))
    assert fast == pytest.approx(slow, rel=0.1)


def test_windows_start_where_something_moves() -> None:
    still, moving = np.zeros(150, np.int64), np.cumsum(np.ones(150, np.int64))
    rule = tuples.Rule.of(12.0, span_max=0.6, gap_min=0.2, similar=0.2)
    for offsets, first in (
        (np.concatenate([moving, np.full(150, 150)]), 0),
        (np.concatenate([still, moving]), 150),
    ):
        frames = panned(offsets)
        moved = motion.motion(frames, 12.0, [(0, 300)])
        found, _ = tuples.mine(frames, moved, [(0, 300)], rule, 1000, np.random.default_rng(0))
        assert len(found) == 1000
        assert ((found[:, 1] >= first) & (found[:, 1] < first + 150)).mean() >= 0.95


def test_every_tuple_satisfies_the_rule_one_by_one() -> None:
    rng = np.random.default_rng(1)
    offsets = np.cumsum(rng.integers(0, 3, 120))
    frames, shots = panned(offsets), [(0, 50), (50, 58), (58, 120)]
    moved = motion.motion(frames, 12.0, shots)
    rule = tuples.Rule.of(12.0, span_max=1.5, gap_min=0.5, similar=0.3)
    assert (rule.span, rule.gap) == (18, 6)
    found, sums = tuples.mine(frames, moved, shots, rule, 400, rng)
    assert len(found) == len(sums) == 400
    small = np.stack([motion.shrunk(frame, 32) for frame in frames]).astype(np.float64)
    pairs = [
        ((small[i] - small[j]) ** 2).mean()
        for start, stop in shots
        for i in range(start, stop)
        for j in range(start, stop)
        if i != j
    ]
    alike = np.quantile(pairs, 0.2)  # the rule takes 0.3, of a sample of all pairs
    for (a, b, c, d, e), total in zip(found.tolist(), sums, strict=True):
        assert a < b < c < d < e and any(start <= a and e < stop for start, stop in shots)
        assert 6 <= b - a <= 18 and 6 <= e - d <= 18 and 2 <= d - b <= 18
        assert min(((small[c] - small[x]) ** 2).mean() for x in (a, e)) > alike
        assert total == pytest.approx(np.nansum(moved[b + 1 : d + 1].astype(np.float64)), rel=1e-5, abs=1e-5)
    assert set(np.unique(found[:, 3] - found[:, 1])) == set(range(2, 19))  # every span
    assert (found[:, 2] - found[:, 1]).min() == 1 and (found[:, 3] - found[:, 2]).min() == 1


def test_still_short_and_unchanging_videos_yield_nothing() -> None:
    rule = tuples.Rule.of(12.0, span_max=1.0, gap_min=0.5, similar=0.2)
    for frames in (panned(np.zeros(40, np.int64)), panned(2 * np.arange(14))):
        shots = [(0, len(frames))]
        moved = motion.motion(frames, 12.0, shots)
        found, sums = tuples.mine(frames, moved, shots, rule, 50, np.random.default_rng(0))
        assert found.shape == (0, 5) and len(sums) == 0
    shots = [(0, 15)]
    frames = panned(2 * np.arange(15))  # one frame more: a, b, and two further on d and e
    moved = motion.motion(frames, 12.0, shots)
    found, _ = tuples.mine(frames, moved, shots, rule, 50, np.random.default_rng(0))
    assert np.array_equal(np.unique(found, axis=0), [[0, 6, 7, 8, 14]])


def filed(corpus: Videos, folder: Path) -> Videos:
    """The same videos, their shards in files and mapped."""
    from dataclasses import replace

    shards = []
    for k, shard in enumerate(corpus.shards):
        np.asarray(shard).tofile(folder / f"frames-{k:03d}.u8")
        shards.append(np.memmap(folder / f"frames-{k:03d}.u8", np.uint8, "r"))
    return replace(corpus, shards=shards)


def test_several_processes_find_what_one_does_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = videos(24)
    look = survey.LookForTuples(tuples=5, span_max=0.5, gap_min=0.17, similar=0.2, seed=3)
    alone = survey.over(corpus, look, "toy")
    monkeypatch.setattr(survey, "FEW", 0)
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    both = survey.over(filed(corpus, tmp_path), look, "toy")
    backwards = survey.over(corpus.take(np.arange(24)[::-1]), look, "toy")[::-1]
    assert sum(len(rows) for _, rows, _ in alone) > 20
    for other in (both, backwards):
        for one, two in zip(alone, other, strict=True):
            for k in range(3):
                assert np.array_equal(one[k], two[k], equal_nan=True)
