"""Boxes, masks and several labels: read from folders and tables, moved with the picture, and opened again."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.common import parallel
from modalities.image.corpus import corpus
from modalities.image.judging import marked
from modalities.image.reading import boxes, masks
from modalities.image.reading.boxes import Box
from modalities.image.reading.decode import Refused
from modalities.image.reading.resize import resize
from tests.image.files import ROOT, classes, encoded, jpeg_with, picture, put, run

DATA = ROOT / "../shared/data/image"
SIDES: list[Any] = ["crop", "pad", "squash"]


def voc(*objects: Box) -> bytes:
    inside = "".join(
        f"<object><name>{o.name}</name><difficult>{int(o.hard)}</difficult><bndbox><xmin>{o.left}</xmin>"
        f"<ymin>{o.top}</ymin><xmax>{o.right}</xmax><ymax>{o.bottom}</ymax></bndbox></object>"
        for o in objects
    )
    return f"<annotation><!-- made --><size><width>24</width></size>{inside}</annotation>".encode()


def square(height: int, width: int, box: Box) -> NDArray[np.uint8]:
    """A black picture whose box is white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = 255
    return pixels


@pytest.mark.parametrize("fit", SIDES)
@pytest.mark.parametrize(
    ("height", "width", "side"), [(60, 90, 30), (90, 60, 48), (17, 23, 40), (40, 40, 40)]
)
def test_boxes_and_masks_lie_where_the_resized_picture_shows_them(
    fit: Any, height: int, width: int, side: int
) -> None:
    box = Box("a", width * 0.3 // 1, height * 0.2 // 1, width * 0.7 // 1, height * 0.6 // 1)
    shown = resize(square(height, width, box), side, fit)[..., 0] / 255
    if fit == "pad":  # padding is white too
        tall, wide = (max(1, round(n * side / max(height, width))) for n in (height, width))
        top, left = (side - tall) // 2, (side - wide) // 2
        inside = np.zeros((side, side), bool)
        inside[top : top + tall, left : left + wide] = True
        shown = np.where(inside, shown, 0)
    (found,) = boxes.moved([box], height, width, side, fit)
    across, down = shown.sum(1).max(), shown.sum(0).max()  # white pixels of a full row, and of a full column
    assert found.right - found.left == pytest.approx(across, abs=0.6)
    assert found.bottom - found.top == pytest.approx(down, abs=0.6)
    middle = (shown * np.arange(side)).sum() / shown.sum(), (shown.T * np.arange(side)).sum() / shown.sum()
    assert (found.left + found.right) / 2 - 0.5 == pytest.approx(middle[0], abs=0.6)
    assert (found.top + found.bottom) / 2 - 0.5 == pytest.approx(middle[1], abs=0.6)
    mask = (square(height, width, box)[..., 0] > 0).astype(np.uint8)
    stored = masks.fitted(mask, height, width, side, fit)
    assert ((stored == 1) != (shown > 0.5)).mean() < 0.03
    assert (stored == masks.UNKNOWN).any() == (fit == "pad" and height != width)


def test_what_a_crop_cuts_off_is_left_out_or_hard() -> None:
    given = [
        Box("in", 40, 10, 60, 30),
        Box("half", 10, 0, 35, 50),
        Box("out", 0, 0, 24, 50),
        Box("hard", 40, 10, 60, 30, True),
    ]
    found = {box.name: box for box in boxes.moved(given, 50, 100, 50, "crop")}
    assert set(found) == {"in", "half", "hard"}
    assert found["in"] == Box("in", 15, 10, 35, 30) and found["hard"].hard
    assert found["half"] == Box("half", 0, 0, 10, 50, True)


def test_files_of_boxes_are_read_and_anything_else_is_refused() -> None:
    there = (Box("a cat", 1, 2, 3, 4), Box("b", 0.5, 0, 2, 9, True))
    assert boxes.parse(voc(*there), "x.XML") == there
    assert boxes.parse(voc(), "x.xml") == ()
    assert boxes.parse(b"a cat 1 2 3 4\n\nb 0.5 0 2 9\n", "x.txt") == (
        there[0],
        there[1]._replace(hard=False),
    )
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>'
    for data, name in (
        (bomb, "a.xml"), (b"<annotation>", "a.xml"), (b"cat 1 2 3", "a.txt"), (b"cat 1 2 3 x", "a.txt"),
        (b"\xff\xfe", "a.txt"), (b"cat 3 2 1 4", "a.txt"), (voc(Box("", 0, 0, 1, 1)), "a.xml"),
        (b"<annotation><object><name>a</name></object></annotation>", "a.xml"),
    ):  # fmt: skip
        with pytest.raises(Refused, match="its boxes"):
            boxes.parse(data, name)


def test_masks_keep_their_values_and_must_have_one_channel_and_the_size_of_the_picture() -> None:
    values = np.random.default_rng(0).integers(0, 22, (6, 9), np.uint8)
    np.testing.assert_array_equal(masks.classes(encoded(values)), values)
    coloured = Image.fromarray(values).convert("P")
    coloured.putdata(values.ravel().tolist())
    coloured.putpalette([k * 11 % 256 for k in range(66)])
    stream = io.BytesIO()
    coloured.save(stream, "PNG")
    np.testing.assert_array_equal(masks.classes(stream.getvalue()), values)
    np.testing.assert_array_equal(masks.fitted(values, 6, 9, 6, "crop"), values[:, 1:7])
    with pytest.raises(Refused, match="its mask is 9x6, the picture 9x7"):
        masks.fitted(values, 7, 9, 6, "crop")
    with pytest.raises(Refused, match="its mask is RGB"):
        masks.classes(encoded(picture(0)))
    with pytest.raises(Refused, match="its mask"):
        masks.classes(b"nothing")


def annotated(root: Path, *, masks_too: bool = True) -> Path:
    """Ten pictures of 20 x 24 with a box and a mask of it each, in train and test."""
    for k in range(10):
        split = "test" if k > 6 else "train"
        box = Box(("cat", "dog")[k % 2], 4, 2, 14, 12)
        pixels = picture(k)
        put(root / split / "images" / f"{k}.png", encoded(pixels))
        put(root / split / "annotations" / f"{k}.xml", voc(box, Box("bird", 15, 3, 20, 9, hard=True)))
        if masks_too:
            mask = (square(20, 24, box)[..., 0] > 0) * np.uint8(k % 2 + 1)
            put(root / split / "masks" / f"{k}.png", encoded(mask))
    return root


def test_folders_beside_pictures_are_read_and_are_no_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = annotated(tmp_path / "in")
    (root / "test/masks/9.png").unlink()
    (root / "train/annotations/0.xml").unlink()
    put(root / "train/other.png", encoded(picture(77)))
    outs = []
    for count in (1, 2):
        monkeypatch.setattr(parallel, "processes", lambda count=count: count)
        meta, rows, rejected = run(root, out := tmp_path / f"out{count}", side=20)
        outs.append(out)
    assert set(rows) == {f"{'test' if k > 6 else 'train'}/{k}.png" for k in range(10)} and not rejected
    assert meta["classes"] == [] and (meta["train"], meta["test"]) == (7, 3)
    assert any("1 pictures have no mask file" in note for note in meta["notes"])
    assert any("1 pictures have no box file" in note for note in meta["notes"])
    assert any("1 files beside" in note for note in meta["notes"])
    for name in ("masks.npy", "marks.parquet", "meta.json"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    assert not (outs[0] / "planes").exists()
    images = corpus(outs[0])
    names = [row["source"] for row in rows.values()]
    found, known = marked.boxed(images), marked.masked(images)
    assert found and known and found.classes == ["bird", "cat", "dog"]
    assert len(found.pictures) == 9 and len(known.pictures) == 9
    for place, picture_id in enumerate(found.pictures.ids):
        number = int(Path(names[images.ids.index(picture_id)]).stem)
        there = found.boxes[place]
        np.testing.assert_array_equal(there.edges, [[2, 2, 12, 12], [13, 3, 18, 9]])
        assert [found.classes[k] for k in there.classes] == [("cat", "dog")[number % 2], "bird"]
        assert there.hard.tolist() == [False, True]
    for place, picture_id in enumerate(known.pictures.ids):
        number = int(Path(names[images.ids.index(picture_id)]).stem)
        expected = np.zeros((20, 20), np.uint8)
        expected[2:12, 2:12] = number % 2 + 1
        np.testing.assert_array_equal(known.masks(np.array([place]))[0], expected)
    both = marked.several(images)
    assert both and both.targets[:, 0].tolist() == [-1] * 9 and (both.targets[:, 1:].sum(1) == 1).all()
    test = found.only("test")
    assert len(test.boxes) == len(test.pictures) == 3 and set(test.pictures.splits) == {"test"}


def test_a_changed_mask_or_box_changes_the_fingerprint_and_a_bad_one_costs_its_picture(
    tmp_path: Path,
) -> None:
    root = annotated(tmp_path / "in")
    before, _, _ = run(root, tmp_path / "a", side=20)
    again, _, _ = run(root, tmp_path / "b", side=20)
    assert before["fingerprint"] == again["fingerprint"]
    put(root / "train/masks/1.png", encoded(np.zeros((20, 24), np.uint8)))
    after, _, _ = run(root, tmp_path / "c", side=20)
    put(root / "train/annotations/2.xml", voc(Box("cat", 4, 2, 14, 13)))
    last, _, _ = run(root, tmp_path / "d", side=20)
    assert len({meta["fingerprint"] for meta in (before, after, last)}) == 3
    put(root / "train/masks/3.png", encoded(np.zeros((5, 5), np.uint8)))
    put(root / "train/annotations/4.xml", b"<annotation>")
    _, rows, rejected = run(root, tmp_path / "e", side=20, max_rejected=0.5)
    assert set(rejected) == {"train/3.png", "train/4.png"} and len(rows) == 8
    assert "its mask is 5x5, the picture 24x20" in rejected["train/3.png"][1]


def test_a_zip_is_read_like_a_folder_and_a_turned_picture_is_measured_upright(tmp_path: Path) -> None:
    root = annotated(tmp_path / "in", masks_too=False)
    lying = picture(50, 24, 20)
    put(root / "train/images/turned.jpg", jpeg_with(6, lying))  # upright it is 20 high and 24 wide
    put(root / "train/annotations/turned.xml", voc(Box("cat", 4, 2, 14, 12)))
    put(root / "train/masks/turned.png", encoded(np.full((20, 24), 3, np.uint8)))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for file in sorted(root.rglob("*.*")):
            packed.write(file, f"set/{file.relative_to(root)}")
    run(root, tmp_path / "a", side=20)
    _, rows, rejected = run(tmp_path / "in.zip", tmp_path / "b", side=20)
    assert not rejected and "set/train/turned.jpg" in rows
    one, other = (marked.boxed(corpus(tmp_path / name)) for name in "ab")
    assert one and other
    for mine, its in zip(one.boxes, other.boxes, strict=True):
        np.testing.assert_array_equal(mine.edges, its.edges)


def test_a_class_called_images_stays_a_class_and_nothing_is_written(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    put(root / "images/9.png", encoded(picture(9)))
    meta, _, _ = run(root, tmp_path / "out")
    assert meta["classes"] == ["cats", "dogs", "images"]
    assert not (tmp_path / "out/marks.parquet").exists() and not (tmp_path / "out/masks.npy").exists()
    images = corpus(tmp_path / "out")
    assert marked.boxed(images) is None and marked.masked(images) is None and marked.several(images) is None


def test_a_csv_with_several_labels_a_picture(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    text = "file,label\ncats/0.png,red | round\ndogs/1.png,round\ncats/2.png,red\ncats/2.png,big\n"
    put(root / "labels.csv", text.encode())
    meta, rows, rejected = run(root, tmp_path / "out", labels="labels.csv")
    assert meta["classes"] == [] and not rejected
    images = corpus(tmp_path / "out")
    found = marked.several(images)
    assert found and found.classes == ["big", "red", "round"] and (images.labels == -1).all()
    names = {row["id"]: name for name, row in rows.items()}
    told = {
        names[picture_id]: {found.classes[k] for k in np.flatnonzero(row)}
        for picture_id, row in zip(found.pictures.ids, found.targets, strict=True)
    }
    assert told == {"cats/0.png": {"red", "round"}, "dogs/1.png": {"round"}, "cats/2.png": {"red", "big"}}


def test_further_sets_may_have_settings_of_their_own(tmp_path: Path) -> None:
    main, more = classes(tmp_path / "in"), annotated(tmp_path / "more")
    tasks: dict[str, Any] = {"plain": str(more), "own": {"source": str(more), "side": 30, "fit": "squash"}}
    run(main, tmp_path / "out", tasks=tasks)
    sets = corpus(tmp_path / "out").tasks()
    assert sets["plain"].side == 16 and sets["own"].side == 30
    found = dict(marked.sets(corpus(tmp_path / "out"), marked.boxed))
    assert set(found) == {"plain", "own"}
    np.testing.assert_allclose(
        found["own"].boxes[0].edges[0], np.array([4 / 24, 2 / 20, 14 / 24, 12 / 20]) * 30
    )
    for wrong, message in (
        ({"x": {"side": 8}}, r"tasks\.x is .*name a source"),
        ({"x": {"source": "a", "sides": 8}}, "tasks.x has 'sides'; use source, side"),
        ({"a/b": str(more)}, "use letters"),
    ):
        with pytest.raises(ValueError, match=message):
            run(main, tmp_path / "no", tasks=wrong)


@pytest.mark.skipif(not DATA.exists(), reason="the private folder of pictures is not here")
def test_the_real_sets_are_read(tmp_path: Path) -> None:
    for name, splits, fit in (("bccd", (292, 72), "squash"), ("camvid", (270, 100), "crop")):
        meta, _, rejected = run(DATA / name / f"{name}.zip", tmp_path / name, side=48, fit=fit, limit=0)
        assert (meta["train"], meta["test"]) == splits and not rejected, json.dumps(meta)
    for name, classes_there in (("cards", 6), ("household", 30)):
        run(DATA / name / f"{name}.zip", tmp_path / name, side=48, fit="pad")
        known = marked.boxed(corpus(tmp_path / name))
        assert known and len(known.classes) == classes_there
        assert all((each.edges >= 0).all() and (each.edges <= 48).all() for each in known.boxes)
    cells, streets = (marked.boxed(corpus(tmp_path / "bccd")), marked.masked(corpus(tmp_path / "camvid")))
    assert cells and streets and cells.classes == ["Platelets", "RBC", "WBC"]
    assert sum(len(boxes.classes) for boxes in cells.boxes) > 4800
    assert set(np.unique(streets.masks(np.arange(100)))) == set(range(12))
