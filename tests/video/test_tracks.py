"""Tracks: boxes must stay on what moves on its own, whatever the camera does."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modalities.video.mining import points, tracks
from modalities.video.mining.motion import gray
from modalities.video.mining.tracks import Rule
from tests.video.test_motion import texture

Frames = NDArray[np.uint8]
RULE = Rule(every=0.5, moving=0.033, least=0.1, most=0.75, box=0.5, seconds=1.0, per_video=20)


def scene(
    seed: int = 0,
    *,
    frames: int = 36,
    height: int = 128,
    side: int = 44,
    logo: int = 20,
    square: bool = True,
) -> tuple[Frames, NDArray[np.float64]]:
    """A textured square over a ground that the camera pans, a logo on top that stays; the square's middles, (F, 2)."""
    rng = np.random.default_rng(seed)
    width, scale = height * 4 // 3, height / 128
    ground = texture(height, width + 3 * frames, rng, 5)
    thing, mark = texture(side, side, rng, 3), texture(logo, 2 * logo, rng, 4)
    found, middle = np.empty((frames, height, width, 3), np.uint8), []
    for k in range(frames):
        found[k] = ground[:, round(2 * scale * k) :][:, :width]
        top, left = round(scale * (20 + k)), round(scale * (100 - 1.5 * k))
        if square:
            found[k, top : top + side, left : left + side] = thing
        if logo:
            found[k, height - 4 - logo : height - 4, 4 : 4 + 2 * logo] = mark
        middle.append((top + side / 2, left + side / 2))
    return found, np.array(middle)


def middle(box: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(box[:2] + box[2:] / 2, np.float64)


def overlap(one: NDArray[Any], other: NDArray[Any]) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    shared = (high - low).clip(0).prod()
    return float(shared / (one[2:].prod() + other[2:].prod() - shared))


@pytest.mark.parametrize("seed", range(3))
def test_boxes_follow_the_square_and_not_the_logo(seed: int) -> None:
    frames, truth = scene(seed)
    found = tracks.mine(frames, 12.0, [(0, len(frames))], RULE)
    assert [track.frame0 for track in found] == [0, 12]  # a second apart
    for track in found:
        assert track.frame1 == track.frame0 + 12
        assert np.abs(middle(track.box0) - truth[track.frame0]).max() <= 3
        assert np.abs(middle(track.box1) - truth[track.frame1]).max() <= 3
        assert track.box0[2:] == pytest.approx(64) and track.box1[2:] == pytest.approx(64, abs=2)
        assert 0.1 <= track.moving <= 0.75 and track.points >= 10 and track.error < 0.5


def test_a_second_slow_tracker_agrees() -> None:
    import cv2

    frames, _ = scene(0)
    track = tracks.mine(frames, 12.0, [(0, 20)], RULE)[0]
    slow = cv2.TrackerMIL.create()
    cv2.setRNGSeed(0)
    top, left, height, width = (round(float(x)) for x in track.box0)
    slow.init(np.ascontiguousarray(frames[0]), (left, top, width, height))
    for k in range(1, 13):
        found, box = slow.update(np.ascontiguousarray(frames[k]))
        assert found
    assert overlap(track.box1, np.array([box[1], box[0], box[3], box[2]])) > 0.6  # it moves in coarse steps
    assert overlap(track.box0, np.array([box[1], box[0], box[3], box[2]])) < 0.5


def test_a_logo_alone_is_not_picked_and_would_be_without_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _ = scene(0, square=False, logo=32)
    assert tracks.mine(frames, 12.0, [(0, len(frames))], RULE) == []
    monkeypatch.setattr(points, "STILL", 0.0)
    # What is left of its motion on the screen is noise, yet against the ground it moves.
    found = tracks.mine(frames, 12.0, [(0, len(frames))], RULE)
    assert found and all(middle(track.box0)[0] > 64 for track in found)


def test_a_pan_alone_has_no_track_and_neither_has_a_still_video() -> None:
    pan, _ = scene(1, square=False, logo=0)
    assert tracks.mine(pan, 12.0, [(0, len(pan))], RULE) == []
    still = np.repeat(pan[:1], 36, 0)
    assert tracks.mine(still, 12.0, [(0, 36)], RULE) == []


def test_no_track_crosses_a_cut() -> None:
    one, other = scene(0)[0][:16], scene(1)[0][:16]
    frames = np.concatenate([one, other])
    found = tracks.mine(frames, 12.0, [(0, 16), (16, 32)], RULE)
    assert [track.frame0 for track in found] == [0, 16]
    assert tracks.mine(frames, 12.0, [(0, 8), (8, 16)], RULE) == []  # a second is longer than either shot


def test_a_box_that_leaves_the_frame_ends_its_track() -> None:
    frames, _ = scene(0)
    shifted = frames[:, :, 60:]  # the same, its left edge nearer: the square leaves by it
    for track in tracks.mine(shifted, 12.0, [(0, len(frames))], RULE):
        for box in (track.box0, track.box1):
            assert box[:2].min() >= 0 and (box[:2] + box[2:] <= shifted.shape[1:3]).all()
    assert tracks.start(gray(shifted, 128), 12, 12.0, RULE) is not None  # there is a box to follow ...
    assert [t.frame0 for t in tracks.mine(shifted, 12.0, [(0, len(frames))], RULE)] == [
        0
    ]  # ... which is lost


def test_a_homography_explains_turns_and_zooms_of_the_camera() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 128, (200, 2)).astype(np.float32)
    turn = 1.03 * np.array([[np.cos(0.05), -np.sin(0.05)], [np.sin(0.05), np.cos(0.05)]])
    after = (before @ turn.T + [3, -2]).astype(np.float32)
    after[:40] += [4, 0]
    found = points.on_their_own(before, after, 0.033, 2 / 12, 128)
    assert found is not None and np.array_equal(np.flatnonzero(found), np.arange(40))
    assert points.on_their_own(before[:9], after[:9], 0.033, 2 / 12, 128) is None


def test_the_densest_square_is_the_one_of_a_loop_and_its_ties_are_centred() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = rng.uniform(0, 30, (12, 2)).astype(np.float32)
        box = tracks.densest(found, (30, 40), 8)
        held = np.array([
            [((x >= j) & (x < j + 8) & (y >= i) & (y < i + 8)).sum() for j in range(33)]
            for i in range(23) for x, y in [np.floor(found).T]
        ])  # fmt: skip
        assert held[round(float(box[0])), round(float(box[1]))] >= held.max() - 1  # the middle of its group
    one = tracks.densest(np.array([[20.5, 15.5]], np.float32), (30, 40), 8)
    assert np.array_equal(one, [11.5, 16.5, 8, 8])  # all eight by eight squares around it


def test_median_flow_shifts_and_scales_whatever_a_few_points_do() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(20, 60, (51, 2)).astype(np.float32)
    after = ((before - 40) * 1.1 + 40 + [5, -3]).astype(np.float32)
    after[:8] += 50
    box = tracks.advance(np.array([20, 20, 40, 40], np.float32), before, after)
    assert box[2:] == pytest.approx(44, abs=0.5)
    assert middle(box) == pytest.approx([40 - 3, 40 + 5], abs=1.5)
