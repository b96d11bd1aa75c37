"""What is known of a corpus of pictures beyond one label: boxes, masks and several labels, as ingest wrote them.

See modalities/image/reading/marks.py for the files. N pictures, S their side, K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.image.corpus import Images

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Boxes:
    """The objects of one picture: n may be 0."""

    edges: NDArray[np.float32]  # (n, 4): left, top, right, bottom in pixels as stored
    classes: Index  # (n,)
    hard: NDArray[np.bool_]  # (n,): neither asked for nor held against who finds them


@dataclass(frozen=True)
class Boxed:
    """Pictures of which the boxes are known, in the order of the corpus."""

    pictures: Images
    boxes: list[Boxes]
    classes: list[str]

    def only(self, split: str) -> "Boxed":
        rows = np.flatnonzero(self.pictures.splits == split)
        return Boxed(self.pictures.take(rows), [self.boxes[row] for row in rows], self.classes)


@dataclass(frozen=True)
class Masked:
    """Pictures of which the class of some pixels is known, in the order of the corpus."""

    pictures: Images
    planes: Pixels  # all of the folder's, memory-mapped

    def only(self, split: str) -> "Masked":
        return Masked(self.pictures.take(np.flatnonzero(self.pictures.splits == split)), self.planes)

    def masks(self, index: Index) -> Pixels:
        """(n, S, S)"""
        return np.asarray(self.planes[self.pictures.rows[index]])


@dataclass(frozen=True)
class Several:
    """Pictures with their labels, any number each."""

    pictures: Images
    targets: NDArray[np.int8]  # (N, K): 1 shown, 0 not, -1 not to be judged
    classes: list[str]


def sets(corpus: Images, known: Callable[[Images], Any]) -> Iterator[tuple[str, Any]]:
    """(name, what `known` finds) of the corpus, as "", and of its further sets; without those of which it finds none.

    Both splits must have some, since one is trained on and the other judged.
    """
    for name, images in {"": corpus, **corpus.tasks()}.items():
        found = known(images)
        if found is not None and {"train", "test"} <= set(found.pictures.splits.tolist()):
            yield name, found


def masked(corpus: Images) -> Masked | None:
    """None where no mask is known."""
    path = _beside(corpus, "masks.npy")
    if path is None:
        return None
    planes = np.load(path, mmap_mode="r")
    rows = [row for row, plane in enumerate(corpus.rows) if (planes[plane] != 255).any()]
    return Masked(corpus.take(np.array(rows, np.int64)), planes) if rows else None


def boxed(corpus: Images) -> Boxed | None:
    """None where no box is known."""
    table = _table(corpus)
    known = [row for row in range(len(corpus)) if table and table["boxes"][corpus.rows[row]] is not None]
    classes = sorted({name for names in table.get("names", []) if names for name in names})
    if not known or not classes:
        return None
    number = {name: k for k, name in enumerate(classes)}
    found = []
    for row in corpus.rows[known]:
        edges = np.array(table["boxes"][row], np.float32).reshape(-1, 4)
        kinds = np.array([number[name] for name in table["names"][row]], np.int64)
        found.append(Boxes(edges, kinds, np.array(table["hard"][row], np.bool_)))
    return Boxed(corpus.take(np.array(known)), found, classes)


def several(corpus: Images) -> Several | None:
    """The labels of a csv in which pictures have several; else, where boxes are known, which classes are in a picture.

    A class of which a picture shows hard objects alone is not judged in it. None where there is neither.
    """
    said = _table(corpus).get("several", [])
    known = [row for row in range(len(corpus)) if said and said[corpus.rows[row]] is not None]
    if known:
        labels = [set(said[corpus.rows[row]]) for row in known]
        classes = sorted(set().union(*labels))
        targets = np.array([[name in each for name in classes] for each in labels], np.int8)
        return Several(corpus.take(np.array(known)), targets, classes)
    found = boxed(corpus)
    if found is None:
        return None
    targets = np.zeros((len(found.boxes), len(found.classes)), np.int8)
    for row, boxes in enumerate(found.boxes):
        targets[row, boxes.classes[boxes.hard]] = -1
        targets[row, boxes.classes[~boxes.hard]] = 1
    return Several(found.pictures, targets, found.classes)


def _beside(corpus: Images, name: str) -> Path | None:
    path = corpus.folder / name if corpus.folder else None
    return path if path and path.exists() else None


def _table(corpus: Images) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    path = _beside(corpus, "marks.parquet")
    found: dict[str, list[Any]] = pq.read_table(path).to_pydict() if path else {}
    return found
