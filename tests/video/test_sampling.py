"""Sampling: frames evenly spaced in real time, shots where colours jump, and hashes that know a picture again."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.video.reading.sampling import Watch, difference_hash, grid, histogram, shown, small
from modalities.video.reading.screen import alike
from tests.video.files import scene


def slow(times: list[float], fps: float, until: float) -> list[int]:
    """For k = 0, 1, ...: the last frame whose time is at most k / fps, by the words of the rule."""
    kept, k = [], 0
    while k / fps < until:
        kept.append(max(number for number, time in enumerate(times) if time <= k / fps + 1e-3))
        k += 1
    return kept


@pytest.mark.parametrize("rate", [12, 13, 24, 25, 29.97, 30, 50, 60])
def test_the_last_frame_that_is_due_is_on_show(rate: float) -> None:
    times = [k / rate for k in range(round(3 * rate))]
    found = grid(np.array(times), 12, 60)
    assert found.kept.tolist() == slow(times, 12, len(times) / rate - 1e-3)
    assert found.fps == 12 and not found.variable and found.rate == pytest.approx(rate)
    assert found.seconds == pytest.approx(len(times) / rate)


def test_a_pause_stays_a_pause() -> None:
    times = [k / 30 for k in range(30)] + [2 + k / 30 for k in range(30)]
    found = grid(np.array(times), 12, 60)
    assert found.kept.tolist() == slow(times, 12, 3 - 1e-3) and found.variable
    assert (found.kept == 29).sum() == 12  # from 29/30 s to 2 s


def test_a_slow_source_keeps_its_own_rate() -> None:
    found = grid(np.arange(20) / 6, 12, 60)
    assert found.fps == pytest.approx(6) and found.kept.tolist() == list(range(20))


def test_so_many_seconds_and_no_more() -> None:
    found = grid(np.arange(300) / 30, 12, 2)
    assert len(found.kept) == 25 and found.kept[-1] == 60 and found.seconds == pytest.approx(10)


def test_small_frames_are_averages_over_areas_and_nothing_is_enlarged() -> None:
    assert (
        shown(144, 256, 96) == (96, 171)
        and shown(256, 144, 96) == (171, 96)
        and shown(40, 60, 96) == (40, 60)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    mean = pixels.reshape(16, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(small(pixels, (16, 24)) - mean).max() <= 1
    np.testing.assert_array_equal(small(pixels, (64, 96)), pixels)


def test_histograms_are_shares_of_hue_saturation_and_value() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (255, 0, 0)
    shares = histogram(pixels)
    assert shares.shape == (48,) and shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(1 / 3)  # red and black have hue 0
    assert shares[16] == shares[31] == shares[32] == shares[47] == pytest.approx(1 / 6)


def watched(frames: list[NDArray[np.uint8]], threshold: float = 0.5) -> Watch:
    watch = Watch(threshold, len(frames))
    assert len(list(watch.over(enumerate(frames)))) == len(frames)
    return watch


def test_shots_end_where_colours_jump_and_motion_makes_none() -> None:
    green, red = scene(0, 10), scene(1, 8)
    for frame in green:
        frame[..., 0] //= 8
    for frame in red:
        frame[..., 1] //= 8
    assert watched(green + red + green[:3]).seen().shots == ((0, 10), (10, 18), (18, 21))
    assert watched(green).seen().shots == ((0, 10),)


def test_equal_neighbours_are_counted_but_not_a_frame_shown_twice() -> None:
    one, two = scene(0, 2), scene(1, 2)
    watch = Watch(0.5, 5)
    list(watch.over([(0, one[0]), (1, one[0]), (2, one[0]), (2, one[0]), (3, two[0])]))
    assert watch.seen().repeats == 2


def test_a_hash_knows_a_recompressed_picture_and_no_other() -> None:
    rng = np.random.default_rng(0)
    pictures = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).resize(
                (90, 60), Image.Resampling.BICUBIC
            )
        )
        for _ in range(20)
    ]
    smaller = [small(p, (40, 60)) for p in pictures]
    hashes = np.array([[difference_hash(p)] * 5 for p in pictures], np.uint64)
    again = np.array([[difference_hash(p)] * 5 for p in smaller], np.uint64)
    np.testing.assert_array_equal(alike(hashes[:, None], again[None]), np.eye(20, dtype=bool))
    flat = np.array([difference_hash(np.full((20, 30, 3), 7, np.uint8))] * 5, np.uint64)
    assert not alike(flat, flat)


def test_near_duplicates_agree_in_four_of_five_frames() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2**63, 5, np.uint64)
    for bits, frames, same in ((4, 5, True), (5, 5, False), (4, 4, True), (4, 3, False)):
        other = one.copy()
        other[:frames] ^= np.uint64(sum(1 << (7 * k) for k in range(bits)))
        other[frames:] = ~other[frames:]
        assert alike(one, other) == same
