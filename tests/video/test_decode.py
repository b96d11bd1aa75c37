"""Reading video files: the right frames, at the right times, the right way up, by whatever reader."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.video.reading import decode as reading
from modalities.video.reading.decode import decode, header
from modalities.video.reading.reasons import Reason, Refused
from tests.video.files import BAD, film, grays, needs_bad, scene, turn
from tests.video.toys import DATA

EVERY = range(10_000)


def agree(path: Path) -> int:
    """decord and PyAV give the same frames, one by one; how many."""
    one, other = list(reading.decord(path, EVERY)), list(reading.pyav(path, EVERY))
    assert [number for number, _ in one] == [number for number, _ in other]
    for (_, first), (_, second) in zip(one, other, strict=True):
        assert first.shape == second.shape
        assert np.abs(first.astype(int) - second).max() <= 2
    return len(one)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx")]
)
def test_both_readers_agree_frame_by_frame(name: str, codec: str, tmp_path: Path) -> None:
    path = film(tmp_path / name, scene(0, 20), codec=codec)
    assert agree(path) == 20
    times = [seconds for seconds, _ in decode(path)]
    np.testing.assert_allclose(times, np.arange(20) / 30, atol=2e-3)
    assert header(path).clock == "timestamps"


@needs_bad
@pytest.mark.parametrize(
    "name", ["variable-frame-rate.mp4", "rotated-90-metadata.mp4", "long-gop-one-keyframe.mp4"]
)
def test_both_readers_agree_on_real_files(name: str) -> None:
    assert agree(BAD / name) in (25, 60)


def test_a_turned_file_comes_out_as_a_viewer_shows_it(tmp_path: Path) -> None:
    path = turn(film(tmp_path / "a.mp4", grays([40] * 5)))
    assert agree(path) == 5
    for _, frame in decode(path):
        assert frame.shape == (52, 32, 3)
        bright = frame[..., 0] > 128
        assert bright[2:10, -10:-2].all() and not bright[14:].any() and not bright[:, :18].any()


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.1, 1.1, 1.133, 1.2, 1.25, 1.3]
    path = film(tmp_path / "a.mp4", grays(range(0, 240, 30)), times=times)
    found = list(decode(path))
    np.testing.assert_allclose([seconds for seconds, _ in found], times, atol=2e-3)
    assert [round(frame[-1, -1, 0] / 30) for _, frame in found] == list(range(8))


def test_repeated_timestamps_make_decord_unfit_and_times_follow_from_the_rate(tmp_path: Path) -> None:
    stamps: list[int | None] = [0, 0, 0, 3, 3, 3]
    times, clock = reading._clock(stamps, 1 / 30, 15.0)
    np.testing.assert_allclose(times, np.arange(6) / 15)
    assert clock == "rate"
    times, clock = reading._clock([2, 4, 3, 6], 0.5, 15.0)  # the order of decoding
    np.testing.assert_allclose(times, [0, 0.5, 1, 2])
    assert clock == "timestamps"


@pytest.mark.skipif(not (DATA / "video/fights/fights.zip").exists(), reason="the private clips are not here")
def test_real_clips_whose_timestamps_are_all_zero(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(DATA / "video/fights/fights.zip") as archive:
        path = Path(archive.extract("fight/fi001.mp4", tmp_path))
    assert header(path).clock == "rate"
    frames, truth = list(decode(path)), list(reading.pyav(path, EVERY))
    assert len(frames) == len(truth) == 27
    for (seconds, frame), (number, other) in zip(frames, truth, strict=True):
        assert seconds == pytest.approx(number / 12.5)
        np.testing.assert_array_equal(frame, other)


def test_widths_at_which_decord_counts_four_channels(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", scene(0, 8, width=48))
    with pytest.raises(ValueError, match="4 channels"):
        next(reading.decord(path, EVERY))
    for (_, frame), (_, other) in zip(decode(path), reading.pyav(path, EVERY), strict=True):
        np.testing.assert_array_equal(frame, other)


def test_pyav_goes_on_where_decord_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", grays(range(0, 240, 24)))

    def broken(path: Path, wanted: object) -> Iterator[tuple[int, np.ndarray]]:
        for number, pixels in reading.pyav(path, EVERY):
            if number == 4:
                raise RuntimeError("it broke")
            yield number, pixels * 0 + 7

    monkeypatch.setattr(reading, "decord", broken)
    found = [frame[-1, -1, 0] for _, frame in decode(path)]
    assert found[:4] == [7] * 4 and [round(level / 24) for level in found[4:]] == list(range(4, 10))


def test_animations_have_all_their_frames_and_their_own_times(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in grays(range(0, 240, 40))]
    lasts = [100, 200, 100, 500, 100, 100]
    frames[0].save(
        tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=lasts, lossless=True
    )
    found = list(decode(tmp_path / "a.webp"))
    np.testing.assert_allclose([seconds for seconds, _ in found], np.cumsum([0, *lasts[:-1]]) / 1000)
    assert [int(frame[-1, -1, 0]) for _, frame in found] == list(range(0, 240, 40))
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    assert [round(frame[-1, -1, 0] / 40) for _, frame in decode(tmp_path / "a.gif")] == list(range(6))


def test_pixels_that_are_not_square_are_reported(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", scene(1), aspect=Fraction(4, 3))
    assert header(path).aspect == pytest.approx(4 / 3)
    assert (header(path).width, header(path).height) == (52, 32)


def test_files_that_are_no_video_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("words, words " * 500)
    whole = film(tmp_path / "a.mp4", scene(0, 60)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    for name, reason in (("empty", Reason.EMPTY), ("text", Reason.UNREADABLE), ("cut", Reason.UNREADABLE)):
        with pytest.raises(Refused) as caught:
            list(decode(tmp_path / f"{name}.mp4"))
        assert caught.value.reason is reason and caught.value.detail


@needs_bad
@pytest.mark.parametrize("name", ["animated.gif", "animated.webp"])
def test_real_animations_have_all_their_frames(name: str) -> None:
    assert len(list(decode(BAD / name))) == 10


@needs_bad
def test_a_real_variable_rate_keeps_its_gaps() -> None:
    gaps = np.diff(header(BAD / "variable-frame-rate.mp4").times)
    assert gaps.min() == pytest.approx(0.017, abs=2e-3) and gaps.max() == pytest.approx(0.4, abs=2e-3)


@needs_bad
def test_sound_alone_is_no_video() -> None:
    with pytest.raises(Refused) as caught:
        header(BAD / "audio-only.mp4")
    assert (caught.value.reason, caught.value.detail) == (Reason.NO_VIDEO, "it holds audio")
