"""Ingest of videos: what a corpus holds follows from the files alone, and no bad file ends a run or slips in."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from modalities.common import parallel
from modalities.image.reading.sources import Item
from modalities.video.corpus import corpus
from modalities.video.reading import clip, shards
from modalities.video.reading.decode import decode
from modalities.video.reading.sampling import small
from modalities.video.reading.sources import Rejection
from tests.video.files import BAD, classes, film, grays, needs_bad, run, scene, turn


def same(one: Path, other: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_frames_are_those_that_were_on_show(tmp_path: Path) -> None:
    film(tmp_path / "in/a.mp4", grays(range(0, 240, 4)))  # 60 frames at 30 a second
    _, rows, _ = run(tmp_path / "in", tmp_path / "out")
    videos = corpus(tmp_path / "out")
    levels = videos.clip(0)[:, -1, -1, 0]
    assert [round(level / 4) for level in levels.astype(int)] == [int(k / 12 * 30 + 1e-6) for k in range(24)]
    row = rows["a.mp4"]
    assert (row["frames"], row["fps"], row["height"], row["width"]) == (24, 12, 32, 52)
    assert (
        row["source_fps"] == pytest.approx(30, abs=0.1)
        and not row["variable"]
        and row["fps_source"] == "timestamps"
    )


def test_a_pause_is_kept(tmp_path: Path) -> None:
    times = [k / 30 for k in range(15)] + [1.5 + k / 30 for k in range(15)]
    film(tmp_path / "in/a.mp4", grays(range(0, 240, 8)), times=times)
    _, rows, _ = run(tmp_path / "in", tmp_path / "out")
    assert rows["a.mp4"]["variable"]
    levels = corpus(tmp_path / "out").clip(0)[:, -1, -1, 0].astype(int)
    shown = [max(n for n, time in enumerate(times) if time <= k / 12 + 1e-3) for k in range(len(levels))]
    assert len(levels) == 24 and [round(level / 8) for level in levels] == shown
    assert shown.count(14) == 12  # one second


def test_pixels_are_the_decoded_ones_made_small(tmp_path: Path) -> None:
    path = film(tmp_path / "in/a.mp4", scene(3, 20, 80, 120), rate=12)
    run(tmp_path / "in", tmp_path / "out", short_side=40)
    truth = np.stack([small(frame, (40, 60)) for _, frame in decode(path)])
    np.testing.assert_array_equal(corpus(tmp_path / "out").clip(0), truth)


def test_turned_files_and_pixels_that_are_not_square(tmp_path: Path) -> None:
    turn(film(tmp_path / "in/turned.mp4", grays([40, 50] * 8)))
    film(tmp_path / "in/wide.mp4", scene(1), aspect=Fraction(2, 1))
    turn(film(tmp_path / "in/both.mp4", scene(2), aspect=Fraction(2, 1)))
    _, rows, _ = run(tmp_path / "in", tmp_path / "out")
    shapes = {name: (row["height"], row["width"], row["turned"]) for name, row in rows.items()}
    assert shapes == {
        "turned.mp4": (52, 32, True), "wide.mp4": (32, 104, False), "both.mp4": (104, 32, True),
    }  # fmt: skip
    videos = corpus(tmp_path / "out")
    frame = videos.clip(videos.sources.index("turned.mp4"))[0, ..., 0]
    assert (frame[2:10, -10:-2] > 128).all() and (frame[14:] < 128).all()


def test_two_ingests_give_the_same_bytes_in_however_many_processes_and_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes(tmp_path / "in")
    (root / "walk/bad.mp4").write_bytes(b"\0" * 5000)
    outs = [tmp_path / name for name in "abc"]
    for out, count in zip(outs, (1, 2, 2), strict=True):
        monkeypatch.setattr(parallel, "processes", lambda count=count: count)
        if out is outs[2]:
            monkeypatch.setattr(shards, "SHARD_BYTES", 2 * 6 * 32 * 52 * 3)
        run(root, out, max_rejected=0.2)
    same(outs[0], outs[1])
    one, many = corpus(outs[0]), corpus(outs[2])
    assert len(many.shards) == 3 and len(one.shards) == 1 and one.ids == many.ids
    for k in range(6):
        np.testing.assert_array_equal(one.clip(k), many.clip(k))


def test_a_file_that_hangs_or_kills_its_process_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes(tmp_path / "in", 4)
    film(root / "run/hangs.mp4", scene(20))
    film(root / "walk/dies.mp4", scene(21))
    monkeypatch.setattr(parallel, "SECONDS", 2)
    monkeypatch.setattr("modalities.video.ingest.Work", Dangerous)
    meta, rows, rejected = run(root, tmp_path / "out", max_rejected=0.5)
    assert {file: reason for file, (reason, _) in rejected.items()} == {
        "run/hangs.mp4": "crashed or hung",
        "walk/dies.mp4": "crashed or hung",
    }
    assert len(rows) == 4 and meta["rejected"] == 2


class Dangerous(clip.Work):
    def __call__(self, numbered: tuple[int, Item]) -> clip.Taken | Rejection:
        import time

        if "dies" in numbered[1].name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hangs" in numbered[1].name:
            time.sleep(60)
        return super().__call__(numbered)


def test_a_file_that_eats_memory_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalities.video.ingest.Work", Hungry)
    root = classes(tmp_path / "in", 4)
    film(root / "run/eats.mp4", scene(22))
    _, rows, rejected = run(root, tmp_path / "out", max_rejected=0.5)
    assert rejected == {"run/eats.mp4": ("too large", "it does not fit in memory")} and len(rows) == 4


class Hungry(clip.Work):
    def __call__(self, numbered: tuple[int, Item]) -> clip.Taken | Rejection:
        if "eats" in numbered[1].name:
            self = Hungry(Eats(), self.scratch, self.rule)
        return super().__call__(numbered)


class Eats:
    def take(self, *args: object) -> clip.Taken:
        np.ones(clip.MEMORY + (1 << 28), np.uint8)
        raise AssertionError("there was room")


def test_short_small_damaged_and_repeated_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    root = classes(tmp_path / "in", 4)
    film(root / "run/short.mp4", scene(5, 6))
    film(root / "run/small.mp4", scene(6, 15, 30, 40))
    film(root / "run/still.mp4", [scene(7)[0]] * 20)
    (root / "run/text.mp4").write_text("no film " * 200)
    whole = film(root / "run/cut.mp4", scene(8, 60)).read_bytes()
    (root / "run/cut.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "run/none.mp4").touch()
    _, rows, rejected = run(root, tmp_path / "out", max_rejected=0.7)
    reasons = {file.removeprefix("run/"): reason for file, (reason, _) in rejected.items()}
    assert reasons == {
        "short.mp4": "too short", "small.mp4": "too small", "still.mp4": "repeated frames", "text.mp4": "unreadable",
        "cut.mp4": "unreadable", "none.mp4": "empty file",
    }  # fmt: skip
    assert rejected["run/short.mp4"][1] == "6 frames, 0.20 s of at least 0.4"
    assert rejected["run/small.mp4"][1] == "40x30: the shorter side is under 32 pixels"
    assert len(rows) == 4
    with pytest.raises(ValueError, match=r"6 of 10 files .* more than video.ingest.max_rejected 0.5"):
        run(root, tmp_path / "again", max_rejected=0.5)
    assert not list((tmp_path / "again").glob("scratch"))


def test_copies_stay_on_the_test_side_and_near_copies_leave_training(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for k in range(4):
        film(root / f"train/{'ab'[k % 2]}/{k}.mp4", scene(k))
        film(root / f"test/{'ab'[k % 2]}/{k + 4}.mp4", scene(k + 4))
    (root / "train/a/copy.mp4").write_bytes((root / "test/a/4.mp4").read_bytes())
    film(root / "train/b/near.mp4", scene(5), crf=30)
    meta, rows, rejected = run(root, tmp_path / "out")
    assert rejected == {
        "train/a/copy.mp4": ("duplicate", "the same bytes as test/a/4.mp4"),
        "train/b/near.mp4": ("near duplicate", "looks like test/b/5.mp4, a test video"),
    }
    assert (meta["train"], meta["test"], meta["duplicates"], meta["rejected"]) == (4, 4, 2, 0)
    assert all(row["split"] == name.split("/")[0] for name, row in rows.items())


def test_recordings_and_blocks_of_numbers_stay_on_one_side(tmp_path: Path) -> None:
    for recording in range(8):
        for part in range(2):
            name = (
                f"v_Run_g{recording:02d}_c{part:02d}"
                if recording % 2
                else f"v_Walk_g{recording:02d}_c{part:02d}"
            )
            film(
                tmp_path / "in" / ("Run" if recording % 2 else "Walk") / f"{name}.mp4",
                scene(2 * recording + part),
            )
    _, rows, _ = run(tmp_path / "in", tmp_path / "out", test=0.5)
    sides: dict[str, set[str]] = {}
    for name, row in rows.items():
        sides.setdefault(name.rpartition("_c")[0].rpartition("/")[2], set()).add(row["split"])
    assert len(sides) == 8 and all(len(side) == 1 for side in sides.values())
    assert set.union(*sides.values()) == {"train", "test"}
    for k in range(6):
        film(tmp_path / "numbers" / "ab"[k // 3] / f"clip{k}.mp4", scene(k))
    _, rows, _ = run(tmp_path / "numbers", tmp_path / "blocks", block=2)
    groups = [rows[f"{'ab'[k // 3]}/clip{k}.mp4"]["group"] for k in range(6)]
    assert groups == ["a/clip0+", "a/clip0+", "a/clip2+", "b/clip2+", "b/clip4+", "b/clip4+"]


@needs_bad
def test_the_real_broken_files(tmp_path: Path) -> None:
    """Every film of the private folder; the notes beside it say what a good ingest does with each."""
    meta, rows, rejected = run(BAD, tmp_path / "out", labels="none", max_rejected=0.9, short_side=72)
    assert {file: reason for file, (reason, _) in rejected.items() if reason != "near duplicate"} == {
        "audio-only.mp4": "no video stream",
        "image-renamed.mp4": "too short",
        "one-frame.mp4": "too short",
        "photo.webp": "too short",
        "truncated-moov-at-end.mp4": "unreadable",
        "zero-bytes.mp4": "empty file",
    }
    frames = {name: row["frames"] for name, row in rows.items()}
    assert frames.items() >= {
        "mpeg4-in.avi": 6, "video-and-audio.mp4": 15, "long-gop-one-keyframe.mp4": 29, "rotated-90-metadata.mp4": 12,
    }.items()  # fmt: skip
    assert frames.keys() & {"animated.gif", "animated.webp"}
    turned = rows["rotated-90-metadata.mp4"]
    assert (turned["source_height"], turned["source_width"], turned["turned"]) == (256, 144, True)
    assert rows["variable-frame-rate.mp4"]["variable"]
    damaged = [note for note in meta["notes"] if "damaged" in note]
    assert damaged == [
        "1 video: damaged: 24 of 60 frames were read (first 'corrupt-middle.mp4')",
        "1 video: damaged: 30 of 60 frames were read (first 'truncated-moov-at-start.mp4')",
    ]
    videos = corpus(tmp_path / "out")
    assert all(videos.clip(k).std() > 5 for k in range(len(videos)))  # nothing became one flat colour


@needs_bad
def test_text_that_bears_the_name_of_a_video_costs_itself_alone(tmp_path: Path) -> None:
    for k in range(3):
        film(tmp_path / f"in/{k}.mp4", scene(k))
    for name in ("text-renamed.jpg", "html-error-page.jpg", "latin-1.txt"):
        (tmp_path / "in" / f"{name}.mp4").write_bytes((BAD / name).read_bytes())
    _, rows, rejected = run(tmp_path / "in", tmp_path / "out", labels="none", max_rejected=0.5)
    assert sorted(rows) == ["0.mp4", "1.mp4", "2.mp4"]
    assert {file: reason for file, (reason, _) in rejected.items()} == dict.fromkeys(
        ("text-renamed.jpg.mp4", "html-error-page.jpg.mp4", "latin-1.txt.mp4"), "unreadable"
    )
    assert all(detail.startswith("begins with") for _, detail in rejected.values())


def test_shots_are_in_the_corpus(tmp_path: Path) -> None:
    green, red = scene(0, 15), scene(1, 15)
    for one, other in zip(green, red, strict=True):
        one[..., 0] //= 8
        other[..., 1] //= 8
    film(tmp_path / "in/a.mp4", green + red)
    run(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(corpus(tmp_path / "out").shot_table(), [[0, 0, 6], [0, 6, 12]])
    assert pq.read_table(tmp_path / "out/shots.parquet").column_names == ["video", "start", "stop"]


def test_settings_out_of_range_name_the_key(tmp_path: Path) -> None:
    root = classes(tmp_path / "in", 2)
    for key, value in {
        "fps": 0, "short_side": 8, "test": 1.0, "max_rejected": 5, "limit": -1, "block": -1, "min_seconds": 70,
        "labels": "yes",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"video.ingest.{key} is '?{value}"):
            run(root, tmp_path / "out", **{key: value})
    with pytest.raises(FileNotFoundError, match=r'video\.ingest\.source is "nowhere"'):
        run("nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()
