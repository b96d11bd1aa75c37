"""Ingest: what a corpus holds must follow from the files alone, and no bad file may end a run or slip in."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalities.common import parallel
from modalities.image.corpus import corpus
from modalities.image.reading import shards
from modalities.image.reading.screen import sample
from modalities.image.reading.sources import Item
from tests.image.files import BAD, classes, encoded, jpeg_with, needs_bad, picture, put, run


def test_the_corpus_holds_the_pixels_of_the_file_that_each_row_names(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    meta, rows, rejected = run(root, tmp_path / "out", side=20)
    images = corpus(tmp_path / "out")
    assert images.ids == sorted(images.ids) and len(images) == meta["count"] == 6 and not rejected
    for place, (name, row) in enumerate((row["source"], row) for row in rows.values()):
        square = np.asarray(Image.open(root / name))[:, 2:22]
        np.testing.assert_array_equal(images.pixels(np.array([place]))[0], square)
        assert (row["height"], row["width"], row["label"]) == (20, 24, name.split("/")[0])
        assert images.classes[images.labels[place]] == row["label"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "images-00000.npy",
        "index.parquet",
        "meta.json",
        "rejected.csv",
    ]


def test_one_and_two_processes_and_small_shards_give_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes(tmp_path / "in", 80)
    put(root / "cats/broken.png", b"no picture")
    put(root / "dogs/again.png", encoded(picture(1)))
    outs = [tmp_path / name for name in "abc"]
    for out, count in zip(outs, (1, 2, 2), strict=True):
        monkeypatch.setattr(parallel, "processes", lambda count=count: count)
        if out is outs[2]:
            monkeypatch.setattr(shards, "SHARD_BYTES", 128 + 16 * 16 * 3 * 10)
        run(root, out, max_rejected=0.1)
    for file in ("images-00000.npy", "index.parquet", "meta.json", "rejected.csv"):
        assert (outs[0] / file).read_bytes() == (outs[1] / file).read_bytes()
    assert (outs[2] / "index.parquet").read_bytes() == (outs[0] / "index.parquet").read_bytes()
    one, many = corpus(outs[0]), corpus(outs[2])
    sizes = [path.stat().st_size for path in outs[2].glob("images-*.npy")]
    assert len(sizes) == len(many.shards) == 8 and max(sizes) == 128 + 16 * 16 * 3 * 10
    np.testing.assert_array_equal(one.pixels(one.rows), many.pixels(many.rows))


def test_a_picture_keeps_its_id_and_split_when_others_come(tmp_path: Path) -> None:
    _, before, _ = run(classes(tmp_path / "in", 40), tmp_path / "a")
    _, after, _ = run(classes(tmp_path / "in", 60), tmp_path / "b")
    assert all(after[name] == row for name, row in before.items())
    held_out = sum(row["split"] == "test" for row in after.values())
    assert 5 <= held_out <= 25  # 15 expected


def test_duplicates_stay_on_the_test_side(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for k in range(4):
        put(root / f"train/{'ab'[k % 2]}/{k}.png", encoded(picture(k)))
        put(root / f"test/{'ab'[k % 2]}/{k + 4}.png", encoded(picture(k + 4)))
    put(root / "train/a/leak.png", encoded(picture(4)))
    put(root / "train/a/0 again.png", encoded(picture(0)))
    meta, rows, rejected = run(root, tmp_path / "out")
    assert rejected == {
        "train/a/leak.png": ("duplicate", "the same bytes as test/a/4.png"),
        "train/a/0.png": ("duplicate", "the same bytes as train/a/0 again.png"),
    }
    assert (meta["train"], meta["test"], meta["duplicates"], meta["rejected"]) == (4, 4, 2, 0)
    assert all(row["split"] == name.split("/")[0] for name, row in rows.items())


def test_copies_with_different_labels_all_go(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    put(root / "dogs/a cat.png", encoded(picture(0)))
    _, rows, rejected = run(root, tmp_path / "out", max_rejected=0.5)
    assert {file: reason for file, (reason, _) in rejected.items()} == {
        "cats/0.png": "conflicting labels",
        "dogs/a cat.png": "conflicting labels",
    }
    assert not rejected.keys() & rows.keys()
    with pytest.raises(ValueError, match=r"2 of 7 files .* \(2 conflicting labels; first 'cats/0.png'"):
        run(root, tmp_path / "again", max_rejected=0.2)


def test_the_limit_takes_a_stable_sample_of_all_classes() -> None:
    items = [Item(k, f"{'ab'[k % 2]}/{k}") for k in range(200)]
    few = {item.name for item in sample(items, 20)}
    assert few == {item.name for item in sample(items[::-1], 20)} and len(few) == 20
    assert few <= {item.name for item in sample(items, 40)}
    assert {name[0] for name in few} == {"a", "b"}


def test_damage_that_can_be_lived_with_is_accepted_and_noted(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    put(root / "cats/png-named.jpg", encoded(picture(10)))
    put(root / "cats/garbage after.jpg", encoded(picture(11), "JPEG") + b"junk" * 1000)
    frames = [Image.fromarray(picture(k)) for k in (12, 13)]
    frames[0].save(root / "dogs/animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "dogs/animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    put(root / "dogs/orientation 9.jpg", jpeg_with(9, picture(14)))
    put(root / "dogs/no suffix", encoded(picture(15)))
    meta, rows, rejected = run(root, tmp_path / "out", side=20)
    assert not rejected and len(rows) == 12
    assert meta["notes"] == [
        "1 picture: EXIF orientation outside 1 to 8 ignored (first 'dogs/orientation 9.jpg')",
        "1 picture: PNG data in a file named .jpg (first 'cats/png-named.jpg')",
        "2 pictures: first frame of an animation or page of several (first 'dogs/animated.gif')",
    ]
    place = list(rows).index("dogs/animated.webp")
    np.testing.assert_array_equal(corpus(tmp_path / "out").pixels(np.array([place]))[0], picture(12)[:, 2:22])


@needs_bad
def test_the_real_broken_files(tmp_path: Path) -> None:
    """Every picture of the private folder; the notes beside it say what a good ingest does with each."""
    meta, rows, rejected = run(BAD, tmp_path / "out", labels="none", max_rejected=0.9, side=48)
    reasons = {file: reason for file, (reason, _) in rejected.items() if not file.endswith((".mp4", ".avi"))}
    assert reasons == {
        "bomb-30000x30000-1bit.png": "too large",
        "header-lies-60000x60000.png": "too large",
        "duplicate-b.jpg": "duplicate",
        "html-error-page.jpg": "not an image",
        "text-renamed.jpg": "not an image",
        "line-2000x1.png": "too small",
        "one-pixel.png": "too small",
        "truncated.jpg": "truncated",
        "zero-bytes.jpg": "empty file",
    }
    assert rejected["bomb-30000x30000-1bit.png"][1] == "30000x30000 exceeds the limit of 100,000,000 pixels"
    used = {name for name in rows if not name.endswith(".mp4")}
    assert used == {
        "animated.gif", "animated.webp", "cmyk.jpg", "corrupt-middle.jpg", "duplicate-a.jpg", "exif-orientation-6.jpg",
        "exif-orientation-invalid.jpg", "gray-alpha.png", "gray.jpg", "gray16.png", "near-duplicate.jpg",
        "palette-alpha.png", "photo.webp", "png-named.jpg", "rgba-gradient.png", "trailing-garbage.jpg",
    }  # fmt: skip
    assert (rows["exif-orientation-6.jpg"]["width"], rows["exif-orientation-6.jpg"]["height"]) == (128, 171)
    assert any("PNG data in a file named .jpg" in note for note in meta["notes"])
    pixels = corpus(tmp_path / "out").pixels(np.arange(len(rows)))
    mean = dict(zip(rows, pixels.mean((1, 2, 3)), strict=True))
    assert 50 < mean["gray16.png"] < 200  # clipped, it would be 255
    assert pixels.std((1, 2, 3)).min() > 5  # nothing became one flat colour


def test_odd_names_survive_the_way_through(tmp_path: Path) -> None:
    names = ["-rf.png", "new\nline.png", "caf\u00e9.png", "cafe\u0301.png", "a, b.png", " space .png"]
    for k, name in enumerate(names):
        put(tmp_path / "in" / "ab"[k % 2] / name, encoded(picture(k)))
    raw = os.fsdecode(b"\xff\xfe.png")
    put(tmp_path / "in/a" / raw, encoded(picture(20)))
    put(tmp_path / "in/b/bad\nname.png", b"text")
    _, rows, rejected = run(tmp_path / "in", tmp_path / "out", max_rejected=0.5)
    assert {name.split("/")[1] for name in rows} == {*names, "\\xff\\xfe.png"}
    assert list(rejected) == ["b/bad\nname.png"]


def test_zip_and_folder_give_the_same_corpus(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for path in root.rglob("*.png"):
            packed.write(path, path.relative_to(root))
    one, _, _ = run(root, tmp_path / "a")
    two, _, _ = run(tmp_path / "in.zip", tmp_path / "b")
    assert one["fingerprint"] == two["fingerprint"] and one["count"] == 6


def test_settings_out_of_range_name_the_key(tmp_path: Path) -> None:
    for key, value in {"side": 4, "test": 1.0, "max_rejected": 5, "limit": -1, "labels": "yes"}.items():
        with pytest.raises(ValueError, match=f"image.ingest.{key} is '?{value}"):
            run(tmp_path, tmp_path / "out", **{key: value})
    assert not (tmp_path / "out").exists()
