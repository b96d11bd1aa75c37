"""What lies beside pictures: masks and boxes in folders of their own, by the same file names.

    train/images/a.jpg, train/masks/a.png, train/annotations/a.xml     and so for test/ and val/, or without them

A folder of pictures is called images or JPEGImages, of masks masks or SegmentationClass, of boxes annotations,
Annotations or boxes (VOC XML, or lines of text). Pictures go by the name of the folder around, so `images` is no class.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modalities.image.reading import boxes
from modalities.image.reading.sources import Blob, Source

PICTURES = ("images", "JPEGImages")
MASKS = ("masks", "SegmentationClass")
BOXES = ("annotations", "Annotations", "boxes")


@dataclass(frozen=True)
class Reader:
    """Reads a picture and what lies beside it: (key, key of the mask, key of the boxes, their file's name)."""

    read: Callable[[Any], Blob]

    def __call__(self, key: tuple[Any, Any, Any, str]) -> Blob:
        picture, mask, table, name = key
        found = self.read(picture)
        if mask is not None:
            found = found._replace(mask=self.read(mask).picture)
        if table is not None:
            data = self.read(table).picture
            assert isinstance(data, bytes)
            found = found._replace(boxes=boxes.parse(data, name))
        return found


def pair(source: Source) -> None:
    """Give each picture its mask and boxes, where any lies in such folders; else change nothing."""
    masks, tables = _of(source, MASKS), _of(source, BOXES)
    pictures = [(item, *_parted(item.name)) for item in source.items]
    taken = [(item, (around, stem)) for item, around, kind, stem in pictures if kind in PICTURES]
    if not any(place in masks or place in tables for _, place in taken):
        return
    items, bare = [], {"mask": 0, "box": 0}
    for item, place in taken:
        mask, table = masks.get(place), tables.get(place)
        bare["mask"] += mask is None
        bare["box"] += table is None
        name = "/".join(part for part in (place[0], item.name.rpartition("/")[2]) if part)
        key = (item.key, mask and mask.key, table and table.key, table.name if table else "")
        items.append(replace(item, key=key, name=name))
    for kind, have in (("mask", masks), ("box", tables)):
        if have and bare[kind]:
            source.notes.append(f"{bare[kind]} pictures have no {kind} file beside them")
    if left := len(source.items) - len(taken) - sum(kind in MASKS for _, _, kind, _ in pictures):
        source.notes.append(f"{left} files beside the folders of pictures and masks left out")
    source.items, source.read = items, Reader(source.read)


def _of(source: Source, folders: tuple[str, ...]) -> dict[tuple[str, str], Any]:
    """Files in folders of these names, by the folder around and their name without a suffix."""
    parted = ((item, *_parted(item.name)) for item in [*source.items, *source.others])
    return {(around, stem): item for item, around, kind, stem in parted if kind in folders}


def _parted(name: str) -> tuple[str, str, str]:
    """train/images/a.jpg -> train, images, a"""
    folder, _, file = name.rpartition("/")
    around, _, kind = folder.rpartition("/")
    return around, kind, file.rpartition(".")[0] or file
