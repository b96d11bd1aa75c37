"""Ingest: what a corpus holds must follow from the files alone, and no bad file may end a run or slip in."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.common import parallel
from modalities.image import shards
from modalities.image.corpus import corpus
from modalities.image.decode import Reason, Refused, decode
from modalities.image.ingest import ingest
from modalities.image.resize import resize
from modalities.image.screen import sample
from modalities.image.sources import Item

ROOT = Path(__file__).resolve().parents[2]
BAD = ROOT / "../shared/data/bad"
needs_bad = pytest.mark.skipif(not BAD.exists(), reason="the private folder of broken files is not here")
Params = dict[str, Any]
DEFAULTS: Params = {
    "side": 16,
    "fit": "crop",
    "labels": "folders",
    "test": 0.25,
    "max_rejected": 0.0,
    "limit": 0,
}


def picture(seed: int, height: int = 20, width: int = 24) -> NDArray[np.uint8]:
    """Smooth enough for JPEG, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def classes(root: Path, count: int = 6) -> Path:
    """Two class folders, with as many pictures between them."""
    for k in range(count):
        put(root / ("cats", "dogs")[k % 2] / f"{k}.png", encoded(picture(k)))
    return root


def run(
    source: Path | str, out: Path, **changes: Any
) -> tuple[Params, dict[str, Params], dict[str, tuple[str, str]]]:
    """(meta, rows by source name, rejected by file) of an ingest with these changes to the defaults."""
    ingest(str(source), out, **(DEFAULTS | changes))
    rows = {row["source"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        rejected = {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(stream)}
    return json.loads((out / "meta.json").read_text()), rows, rejected


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
            monkeypatch.setattr(shards, "SHARD_BYTES", 16 * 16 * 3 * 10)
        run(root, out, max_rejected=0.1)
    for file in ("images-00000.npy", "index.parquet", "meta.json", "rejected.csv"):
        assert (outs[0] / file).read_bytes() == (outs[1] / file).read_bytes()
    assert (outs[2] / "meta.json").read_bytes() == (outs[0] / "meta.json").read_bytes()
    one, many = corpus(outs[0]), corpus(outs[2])
    assert len(many.shards) == 9 and all(shard.nbytes <= 16 * 16 * 3 * 10 for shard in many.shards)
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


def jpeg_with(orientation: int, pixels: NDArray[np.uint8], kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind, exif=exif, quality=95)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_is_turned_once_by_what_the_standard_says(orientation: int, kind: str) -> None:
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24] = (255, 0, 0)  # top left
    pixels[:16, 24:] = (0, 255, 0)  # top right
    # Where the stored top left and top right belong: (row, column) of the quadrant. EXIF 2.3, table 6.
    belongs = {
        2: ((0, 1), (0, 0)), 3: ((1, 1), (1, 0)), 4: ((1, 0), (1, 1)), 5: ((0, 0), (1, 0)),
        6: ((0, 1), (1, 1)), 7: ((1, 1), (0, 1)), 8: ((1, 0), (0, 0)),
    }.get(orientation, ((0, 0), (0, 1)))  # fmt: skip
    found = decode(jpeg_with(orientation, pixels, kind), 32, "squash")
    assert (found.height, found.width) == ((48, 32) if 5 <= orientation <= 8 else (32, 48))
    for channel, (row, column) in enumerate(belongs):
        values = found.pixels[row * 16 + 8, column * 16 + 8].astype(int)
        assert values[channel] > 200 and values.sum() - values[channel] < 80, (channel, values)


def test_colour_modes_become_rgb_as_documented() -> None:
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
    deep = grey.astype(np.uint16) * 257
    expected = np.stack([grey] * 3, 2)
    for data in (encoded(grey), encoded(deep), encoded(np.stack([grey, np.full_like(grey, 255)], 2))):
        np.testing.assert_array_equal(decode(data, 32, "crop").pixels, expected)
    clear = np.dstack([np.zeros((32, 32, 3), np.uint8), grey])  # black that fades in from clear
    np.testing.assert_allclose(decode(encoded(clear), 32, "crop").pixels, 255 - expected, atol=1)
    palette = Image.fromarray(grey).convert("P")
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=0)
    assert (decode(stream.getvalue(), 32, "crop").pixels[:, 0] == 255).all()
    ink = Image.fromarray(np.full((32, 32, 3), (200, 30, 30), np.uint8)).convert("CMYK")
    stream = io.BytesIO()
    ink.save(stream, "JPEG", quality=95)
    found = decode(stream.getvalue(), 32, "crop")
    assert np.abs(found.pixels.astype(int) - (200, 30, 30)).max() < 12 and found.notes == ["CMYK, made RGB"]
    with pytest.raises(Refused, match="32 bits a pixel have no agreed white"):
        decode(encoded(np.ones((32, 32), np.float32), "TIFF"), 32, "crop")


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_jpeg_at_reduced_size_looks_like_the_whole_decoded(fit: Any) -> None:
    waves = np.sin(np.mgrid[0:600, 0:800].sum(0) / 9)[..., None] * (40, 60, 80) + 128
    data = encoded(waves.astype(np.uint8), "JPEG", quality=90)
    whole = resize(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 64, fit)
    error = np.mean((decode(data, 64, fit).pixels.astype(float) - whole) ** 2)
    assert 10 * np.log10(255**2 / error) > 38
    turned = decode(jpeg_with(3, waves.astype(np.uint8)), 64, fit).pixels  # goes through Pillow
    assert 10 * np.log10(255**2 / np.mean((turned[::-1, ::-1].astype(float) - whole) ** 2)) > 38


def test_what_each_fit_keeps() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 100  # the middle square
    assert (resize(wide, 10, "crop") == 100).all()
    padded = resize(wide, 30, "pad")
    assert (padded[:10] == 255).all() and (padded[20:] == 255).all()
    np.testing.assert_array_equal(padded[10:20], wide)
    blocks = resize(np.kron(picture(0, 8, 8), np.ones((4, 4, 1), np.uint8)), 8, "squash")
    np.testing.assert_array_equal(blocks, picture(0, 8, 8))  # an average over each area


def test_opencv_and_pillow_read_the_same_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(3, 64, 64), "JPEG", quality=95)
    fast = decode(data, 64, "crop").pixels.astype(int)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    slow = decode(data, 64, "crop").pixels.astype(int)
    assert np.abs(fast - slow).max() <= 3  # upsampling of chroma may round differently


@cache
def broken() -> dict[str, tuple[bytes, Reason, str]]:
    """name -> (bytes, reason, part of the detail): the real broken files in small."""
    photo = encoded(picture(0, 64, 64), "JPEG", exif=thumbnail())
    png = encoded(picture(1, 64, 64))
    lies = png[:16] + (60_000).to_bytes(4) * 2 + png[24:29]
    lies += zlib.crc32(lies[12:29]).to_bytes(4) + png[33:]
    webp = encoded(picture(2, 64, 64), "WEBP")
    gif = encoded(picture(2, 64, 64), "GIF")
    return {
        "zero-bytes.jpg": (b"", Reason.EMPTY, "0 bytes"),
        "text-renamed.jpg": (b"This is no picture", Reason.NOT_AN_IMAGE, "begins with 'This is no pictu'"),
        "html-error-page.jpg": (b"<!DOCTYPE html><html>", Reason.NOT_AN_IMAGE, "<!DOCTYPE html>"),
        "clip.avi": (b"RIFF\0\1\0\0AVI LIST", Reason.NOT_AN_IMAGE, "RIFF"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", Reason.NOT_AN_IMAGE, "%!PS"),
        "truncated.jpg": (photo[: len(photo) * 55 // 100], Reason.TRUNCATED, ""),
        "nearly-whole.jpg": (photo[:-2], Reason.TRUNCATED, ""),
        "only-a-start.jpg": (photo[:12], Reason.TRUNCATED, ""),
        "truncated.png": (png[: len(png) // 2], Reason.TRUNCATED, ""),
        "truncated.webp": (webp[: len(webp) // 2], Reason.TRUNCATED, ""),
        "truncated.gif": (gif[: len(gif) // 2], Reason.TRUNCATED, ""),
        "one-pixel.png": (encoded(picture(0)[:1, :1]), Reason.TOO_SMALL, "1x1: the shorter side is under 8"),
        "line.png": (encoded(np.zeros((1, 2000), np.uint8)), Reason.TOO_SMALL, "2000x1"),
        "line.jpg": (encoded(np.zeros((2000, 2), np.uint8), "JPEG"), Reason.TOO_SMALL, "2x2000"),
        "bomb.png": (
            encoded(np.zeros((11_000, 11_000), bool)),
            Reason.TOO_LARGE,
            "11000x11000 exceeds the limit of 1",
        ),
        "header-lies.png": (lies, Reason.TOO_LARGE, "60000x60000 exceeds the limit of 100,000,000 pixels"),
        "header-lies.jpg": (tall(photo), Reason.TOO_LARGE, "65000x65000 exceeds"),
    }


def thumbnail() -> bytes:
    """EXIF with a picture in it, whose end mark must not be taken for that of the whole."""
    return b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + encoded(picture(9, 16, 16), "JPEG")


def tall(photo: bytes) -> bytes:
    frame = photo.rindex(b"\xff\xc0")  # not that of the thumbnail
    return photo[: frame + 5] + (65_000).to_bytes(2) * 2 + photo[frame + 9 :]


@pytest.mark.parametrize("name", broken())
def test_each_broken_file_is_refused_with_its_reason(name: str) -> None:
    data, reason, detail = broken()[name]
    with pytest.raises(Refused) as refused:
        decode(data, 16, "crop", name)
    assert refused.value.reason is reason and detail in refused.value.detail


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


def stage(folder: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    """`python -m stages.ingest image` in a folder with params.yaml changed so."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    start = lines.index("image:") + 1
    for key, value in changes.items():
        place = next(k for k in range(start, len(lines)) if lines[k].startswith(f"    {key}:"))
        lines[place] = f"    {key}: {json.dumps(value)}"
    (folder / "params.yaml").write_text("\n".join(lines))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.ingest", "image"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def make_source(kind: str, folder: Path) -> Params:
    """The bad inputs a person may come with, and the settings that lead to them."""
    source = folder / "data"
    if kind == "one class":
        put(source / "cats/1.png", encoded(picture(1)))
    elif kind == "no picture in it":
        put(source / "cats/1.jpg", b"text")
        put(source / "dogs/2.jpg", b"")
    elif kind == "an empty folder":
        source.mkdir()
    elif kind == "too many bad":
        put(classes(source) / "cats/bad.jpg", b"text")
    elif kind == "a csv of missing files":
        put(
            classes(source) / "labels.csv",
            b"file,label\ncats/0.png,a\ncats/2.png,b\nnone/1.png,a\nnone/2.png,a\n",
        )
        return {"source": "data", "labels": "labels.csv"}
    elif kind == "no such csv":
        classes(source)
        return {"source": "data", "labels": "labels.csv"}
    elif kind == "a broken zip":
        return {"source": str(put(folder / "data.zip", b"PK\3\4 nothing"))}
    elif kind == "a wrong setting":
        return {"source": "data", "fit": "stretch"}
    return {"source": "data"}


ONE_LINERS = {
    "a missing folder": (
        1,
        'image.ingest.source is "data" and there is no such folder; use a folder, a .zip',
    ),
    "an empty folder": (2, "data holds no picture; put some in"),
    "no picture in it": (2, "no file of data could be read as a picture (1 empty file, 1 not an image)"),
    "one class": (
        2,
        'only one class ("cats") in data: nothing can be judged; add a second class folder, or set',
    ),
    "too many bad": (
        2,
        "1 of 7 files of data were rejected (1 not an image; first 'cats/bad.jpg': begins with",
    ),
    "a csv of missing files": (
        2,
        "2 of 8 files of data were rejected (2 missing; first 'none/1.png': named in line 4",
    ),
    "no such csv": (1, "image.ingest.labels is labels.csv; there is no such file"),
    "a broken zip": (2, "data.zip is no zip, or a broken one"),
    "a wrong setting": (2, "image.ingest.fit is 'stretch'; input should be 'crop', 'pad' or 'squash'"),
}


@pytest.mark.parametrize("kind", ONE_LINERS)
def test_bad_input_is_one_line_an_exit_code_and_nothing_half_written(kind: str, tmp_path: Path) -> None:
    code, message = ONE_LINERS[kind]
    done = stage(tmp_path, **make_source(kind, tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.name != "corpus"]


def test_a_failed_ingest_leaves_the_corpus_that_was_there(tmp_path: Path) -> None:
    source = classes(tmp_path / "data")
    first = stage(tmp_path, source="data", side=8)
    assert first.returncode == 0, first.stderr
    assert "6 pictures" in first.stdout and "ingest: 6/6 files" in first.stdout
    before = (tmp_path / "artifacts/corpus/image/meta.json").read_bytes()
    shutil.rmtree(source / "dogs")
    assert stage(tmp_path, source="data", side=8).returncode == 2
    assert [path.name for path in (tmp_path / "artifacts/corpus").iterdir()] == ["image"]
    assert (tmp_path / "artifacts/corpus/image/meta.json").read_bytes() == before


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
