"""Layout: what folders and label files say of each picture."""

from pathlib import Path

import pytest

from modalities.image.ingest import find
from modalities.image.reading import layout
from modalities.image.reading.sources import Source, folder
from tests.image.files import BAD, classes, encoded, needs_bad, picture, put, run, touch


def placed(root: Path, labelled: bool = True) -> tuple[dict[str, tuple[str | None, str | None]], Source]:
    found = folder(root)
    layout.by_folders(found, labelled)
    return {item.name: (item.label, item.split) for item in found.items}, found


def test_the_first_folder_is_the_class(tmp_path: Path) -> None:
    found, _ = placed(touch(tmp_path, "cats/1", "cats/deep/er/2", "dogs/3", "4"))
    assert found == {
        "cats/1": ("cats", None),
        "cats/deep/er/2": ("cats", None),
        "dogs/3": ("dogs", None),
        "4": (None, None),
    }


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    found, source = placed(
        touch(tmp_path, "Train/a/1", "Train/b/x/2", "test/a/3", "val/b/4", "test/5", "extra/6", "7")
    )
    assert found == {
        "Train/a/1": ("a", "train"),
        "Train/b/x/2": ("b", "train"),
        "test/a/3": ("a", "test"),
        "val/b/4": ("b", "train"),
        "test/5": (None, "test"),
    }
    assert source.notes == [
        "2 files beside the train and test folders left out",
        "the validation folder is used as train",
    ]


def test_validation_is_held_out_where_there_is_no_test(tmp_path: Path) -> None:
    found, _ = placed(touch(tmp_path, "train/a/1", "valid/a/2"), labelled=False)
    assert found == {"train/a/1": (None, "train"), "valid/a/2": (None, "test")}


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    found, _ = placed(touch(tmp_path, "train/1", "bus/2"))
    assert found == {"train/1": ("train", None), "bus/2": ("bus", None)}


def test_a_folder_around_everything_is_no_class(tmp_path: Path) -> None:
    found, source = placed(touch(tmp_path, "data/train/a/1", "data/test/a/2"))
    assert found == {"data/train/a/1": ("a", "train"), "data/test/a/2": ("a", "test")}
    assert source.notes == ['all files lie in the folder "data"; the folders in it were read']
    assert placed(touch(tmp_path / "one", "cats/1", "cats/deeper/2"))[0]["cats/1"] == ("cats", None)


def test_many_classes_one_with_a_single_file_and_one_with_none(tmp_path: Path) -> None:
    for k in range(300):
        touch(tmp_path, f"{k:03d}/1.png")
    (tmp_path / "empty").mkdir()
    found, _ = placed(tmp_path)
    assert len({label for label, _ in found.values()}) == 300


def labelled(root: Path, text: str) -> tuple[dict[str, tuple[str | None, str | None]], Source]:
    found = folder(root)
    layout.by_csv(found, text, "labels.csv")
    return {item.name: (item.label, item.split) for item in found.items}, found


def test_a_csv_gives_labels_and_splits(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.png", "b/c.png", "d.png", 'say "hi",\nthere.png', "e.png")
    text = (
        "File, Label ,split\na.png,cat,train\nb\\c.png,dog,test\n"
        '"say ""hi"",\nthere.png",dog,val\na.png,cat,train\nd.png,,\n'
    )
    found, source = labelled(root, text)
    assert found == {
        "a.png": ("cat", "train"),
        "b/c.png": ("dog", "test"),
        "d.png": (None, None),
        "e.png": (None, None),
        'say "hi",\nthere.png': ("dog", "train"),
    }
    assert source.notes == ["2 pictures have no label in labels.csv"] and not source.rejected


def test_a_csv_finds_names_composed_another_way(tmp_path: Path) -> None:
    found, _ = labelled(touch(tmp_path, "cafe\u0301.png"), "file,label\ncaf\u00e9.png,cup\n")
    assert found == {"cafe\u0301.png": ("cup", None)}


def test_a_csv_with_problems(tmp_path: Path) -> None:
    root = touch(tmp_path / "in", "a.png", "b.png")
    touch(tmp_path, "outside.png")
    rows = [
        "a.png,cat",
        "a.png,Cat",
        "../outside.png,cat",
        "/etc/hostname,dog",
        "C:\\x.png,dog",
        "gone.png,cat",
    ]
    text = "\n".join(["file,label", *rows, "b.png,dog"])
    found, source = labelled(root, text)
    assert found == {"b.png": ("dog", None)}
    assert [(r.file, r.reason.value) for r in sorted(source.rejected)] == [
        ("../outside.png", "outside the source"),
        ("/etc/hostname", "outside the source"),
        ("C:\\x.png", "outside the source"),
        ("a.png", "conflicting labels"),
        ("gone.png", "missing"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name,label\n", "labels.csv needs the columns file,label; it has name, label"),
        (b"", "it has none"),
        (b"file,label,split\n0.png,a,tset\n", 'line 2: the split is "tset"; use train, test or validation'),
        ("file,label\ncaf\u00e9.png,a\n".encode("latin-1"), r"not UTF-8 \(byte 14\)"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    put(classes(tmp_path) / "labels.csv", data)
    with pytest.raises(ValueError, match=message):
        find(str(tmp_path), 16, "labels.csv")


def test_a_csv_with_a_byte_order_mark_beside_the_pictures(tmp_path: Path) -> None:
    put(classes(tmp_path / "in") / "labels.csv", b"\xef\xbb\xbffile,label\ncats/0.png,x\ndogs/1.png,y\n")
    meta, rows, _ = run(tmp_path / "in", tmp_path / "out", labels="labels.csv")
    assert (
        meta["classes"] == ["x", "y"]
        and rows["cats/0.png"]["label"] == "x"
        and rows["cats/2.png"]["label"] is None
    )


@needs_bad
def test_the_real_csv_with_problems(tmp_path: Path) -> None:
    for name in (
        "duplicate-a.jpg",
        "duplicate-b.jpg",
        "photo.webp",
        "truncated.jpg",
        "gray.jpg",
        "labels-with-problems.csv",
    ):
        put(tmp_path / "in" / name, (BAD / name).read_bytes())
    found = find(str(tmp_path / "in"), 16, "labels-with-problems.csv")
    assert {(r.file, r.reason.value) for r in found.rejected} == {
        ("missing-file.jpg", "missing"),
        ("../outside.jpg", "outside the source"),
        ("/etc/hostname", "outside the source"),
        ("photo.webp", "conflicting labels"),
    }
    with pytest.raises(ValueError, match="4 of 8 files"):
        run(tmp_path / "in", tmp_path / "out", labels="labels-with-problems.csv")


def test_class_names_that_look_alike_are_told(tmp_path: Path) -> None:
    names = ["cat", "Cat", "cat ", "caf\u00e9", "cafe\u0301", "dog"]
    for k, name in enumerate(names):
        put(tmp_path / "in" / name / f"{k}.png", encoded(picture(k)))
    meta, _, _ = run(tmp_path / "in", tmp_path / "out")
    assert meta["classes"] == sorted(names)
    assert meta["notes"] == [
        "classes that look alike: 'Cat', 'cat', 'cat '; rename them if they are one",
        "classes that look alike: 'cafe\\u0301', 'caf\\xe9'; rename them if they are one",
    ]


def test_pictures_without_any_class_are_a_corpus_without_labels(tmp_path: Path) -> None:
    put(tmp_path / "in/1.png", encoded(picture(1)))
    put(tmp_path / "in/2.png", encoded(picture(2)))
    meta, rows, _ = run(tmp_path / "in", tmp_path / "out")
    assert meta["classes"] == [] and meta["notes"] == ["no class folders, so no picture has a label"]
    assert all(row["label"] is None for row in rows.values())
