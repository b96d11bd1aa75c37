"""Where videos come from: files and numbered pictures, folders and zips; labels, masks and joints beside them."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.video.corpus import corpus
from modalities.video.reading import opening
from modalities.video.reading.sampling import small
from tests.video.files import classes, film, run, scene
from tests.video.toys import DATA


def test_labels_and_splits_from_a_csv(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for k in range(4):
        film(root / f"{k}.mp4", scene(k))
    lines = [
        "file,label,split",
        "0.mp4,run,train",
        "1.mp4,walk,test",
        "2.mp4,run,train",
        "gone.mp4,run,train",
    ]
    (root / "labels.csv").write_text("\n".join(lines))
    _, rows, rejected = run(root, tmp_path / "out", labels="labels.csv", max_rejected=0.5)
    assert {n: (r["label"], r["split"]) for n, r in rows.items() if n != "3.mp4"} == {
        "0.mp4": ("run", "train"), "1.mp4": ("walk", "test"), "2.mp4": ("run", "train"),
    }  # fmt: skip
    assert rows["3.mp4"]["label"] is None and rejected["gone.mp4"][0] == "missing"


def test_masks_and_joints_follow_their_frames(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a/x", "b/y"):
        film(root / f"{name}.mp4", scene(len(name) + ord(name[0])), rate=30)
        for frame in range(15):
            mask = np.zeros((64, 104), np.uint8)
            mask[frame : frame + 5, 10:20] = 1
            mask[40:45, frame : frame + 5] = 2
            (root / f"labels/{name}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(root / f"labels/{name}/{frame:05d}.png")
    lines = ["file,frame,joint,x,y"] + [
        f"a/x.mp4,{k},{j},{k + n},{2 * k}" for k in range(15) for n, j in enumerate("uv")
    ]
    (root / "joints.csv").write_text("\n".join(lines[:-1]))
    run(root, tmp_path / "out")
    videos = corpus(tmp_path / "out")
    x, y = (videos.sources.index(name) for name in ("a/x.mp4", "b/y.mp4"))
    for stored, source in enumerate([0, 2, 5, 7, 10, 12]):
        for video in (x, y):
            found = videos.masks(video, stored)
            assert found is not None and found.shape == (64, 104)
            assert found[source, 10] == 1 and found[source - 1, 10] == 0 and found[44, source + 4] == 2
        np.testing.assert_array_equal(
            videos.joints(x, stored), [[source, 2 * source], [source + 1, 2 * source]]
        )
        assert videos.joints(y, stored) is None
    assert videos.marks is not None and videos.marks.joints == ["u", "v"] and videos.masks(x, 6) is None


def sequence(root: Path, seed: int, count: int = 8, first: int = 0, mask: int = 255) -> None:
    for k, frame in enumerate(scene(seed, count, 36, 64)):
        for folder in ("frames", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(root / f"frames/{k + first:05d}.png")
        Image.fromarray(np.full((36, 64), mask * (k % 2), np.uint8)).save(root / f"masks/{k + first:05d}.png")


def test_numbered_pictures_are_a_video_and_zip_and_folder_are_one(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for k, name in enumerate(("bear", "swan", "car")):
        sequence(root / name, k, first=k)
    (root / "cover.jpg").write_bytes(b"x")
    meta, rows, rejected = run(root, tmp_path / "a")
    assert set(rows) == {"bear", "swan", "car"} and not rejected
    assert all((row["frames"], row["fps"], row["fps_source"]) == (8, 12, "none") for row in rows.values())
    assert "1 pictures that are not frames of a sequence left out" in meta["notes"]
    videos = corpus(tmp_path / "a")
    swan = videos.sources.index("swan")
    np.testing.assert_array_equal(videos.clip(swan), [small(f, (32, 57)) for f in scene(1, 8, 36, 64)])
    for k in range(8):
        mask = videos.masks(swan, k)
        assert mask is not None and mask.shape == (36, 64) and (mask == k % 2).all()
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for path in sorted(root.rglob("*.*")):
            packed.write(path, path.relative_to(root))
    other, _, _ = run(tmp_path / "in.zip", tmp_path / "b")
    assert other["fingerprint"] == meta["fingerprint"]


def test_a_zip_of_films_is_the_folder(tmp_path: Path) -> None:
    root = classes(tmp_path / "in", 4)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for path in root.rglob("*.mp4"):
            packed.write(path, path.relative_to(root))
    one, _, _ = run(root, tmp_path / "a")
    two, _, _ = run(tmp_path / "in.zip", tmp_path / "b")
    assert one["fingerprint"] == two["fingerprint"] and one["count"] == 4


def test_tasks_are_corpora_of_their_own(tmp_path: Path) -> None:
    root = classes(tmp_path / "in", 4)
    sequence(tmp_path / "more/bear", 0)
    run(root, tmp_path / "out", tasks={"davis": str(tmp_path / "more")})
    tasks = corpus(tmp_path / "out").tasks()
    assert (
        list(tasks) == ["davis"]
        and tasks["davis"].sources == ["bear"]
        and tasks["davis"].masks(0, 1) is not None
    )
    with pytest.raises(ValueError, match=r"video\.ingest\.tasks names a set 'a/b'"):
        run(root, tmp_path / "again", tasks={"a/b": str(tmp_path / "more")})


def test_odd_names_links_and_pipes(tmp_path: Path) -> None:
    root = tmp_path / "in"
    names = ["-rf.mp4", "new\nline.mp4", "caf\u00e9.mp4", "a, b.mp4", " space .mp4"]
    for k, name in enumerate(names):
        film(root / "ab"[k % 2] / name, scene(k))
    (root / "a/loop").symlink_to(root)
    (root / "a/nothing.mp4").symlink_to(root / "gone")
    os.mkfifo(root / "b/pipe.mp4")
    meta, rows, rejected = run(root, tmp_path / "out", max_rejected=0.5)
    assert {name.split("/")[1] for name in rows} == set(names)
    assert rejected == {"a/nothing.mp4": ("missing", "a link to nothing")}
    assert "1 pipes, sockets or devices left out" in meta["notes"]


def test_masks_of_black_and_white_and_of_numbers() -> None:
    for values, mode, truth in (
        ([0, 255, 200], "L", [0, 1, 1]),
        ([0, 1, 7], "L", [0, 1, 7]),
        ([0, 3, 200], "P", [0, 3, 200]),
    ):
        image = Image.frombytes(mode, (3, 1), bytes(values))
        if mode == "P":
            image.putpalette(list(range(256)) * 3)
        stream = io.BytesIO()
        image.save(stream, "PNG")
        packed = opening.mask(stream.getvalue())
        assert list(zlib.decompress(packed.data)) == truth and (packed.height, packed.width) == (1, 3)


@pytest.mark.skipif(not (DATA / "video/davis/davis.zip").exists(), reason="the private clips are not here")
@pytest.mark.slow
def test_davis(tmp_path: Path) -> None:
    _, rows, _ = run(DATA / "video/davis/davis.zip", tmp_path / "out", labels="none", short_side=144)
    videos = corpus(tmp_path / "out")
    assert len(rows) == 20 and videos.counts.sum() == 1376
    for k in range(20):
        masks = [videos.masks(k, frame) for frame in range(videos.counts[k])]
        assert all(mask is not None and mask.shape == (144, 256) and mask.max() <= 1 for mask in masks)
