"""What is known of single frames, for evaluations alone: masks of objects and places of joints, at source size."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Frame = tuple[str, int]  # a video's id and the number of a stored frame


class Place(NamedTuple):
    """Where a mask lies in masks.bin, and its shape."""

    offset: int
    length: int  # bytes, deflated
    height: int
    width: int


@dataclass(frozen=True)
class Marks:
    """Masks and joints by video id and frame, so that they need no change where videos are left out or reordered."""

    packed: Pixels  # (bytes,), the masks, each deflated by zlib
    places: Mapping[Frame, Place]
    points: Mapping[Frame, NDArray[np.float64]]  # (J, 2) of x, y; NaN where a joint is hidden
    joints: list[str]  # what the J are called

    def mask(self, video: str, frame: int) -> Pixels | None:
        place = self.places.get((video, frame))
        if place is None:
            return None
        packed = self.packed[place.offset : place.offset + place.length].tobytes()
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(place.height, place.width)


def pack(masks: Mapping[Frame, Pixels]) -> tuple[bytes, dict[Frame, Place]]:
    """The bytes of masks.bin, and where each mask is in them."""
    packed, places, offset = [], {}, 0
    for frame, mask in masks.items():
        data = zlib.compress(np.ascontiguousarray(mask).tobytes(), 6)
        places[frame] = Place(offset, len(data), *mask.shape)
        packed.append(data)
        offset += len(data)
    return b"".join(packed), places


def marks(path: Path) -> Marks | None:
    """Those of a corpus folder; None where it has neither masks nor joints."""
    import pyarrow.parquet as pq

    places: dict[Frame, Place] = {}
    points: dict[Frame, NDArray[np.float64]] = {}
    packed, names = np.zeros(0, np.uint8), list[str]()
    if (path / "masks.parquet").exists():
        table = pq.read_table(path / "masks.parquet").to_pydict()
        rows = zip(*(table[name] for name in Place._fields), strict=True)
        frames = zip(table["id"], table["frame"], strict=True)
        places = {frame: Place(*row) for frame, row in zip(frames, rows, strict=True)}
        packed = np.memmap(path / "masks.bin", np.uint8, "r")
    if (path / "joints.parquet").exists():
        table = pq.read_table(path / "joints.parquet").to_pydict()
        names = list(dict.fromkeys(table["joint"]))
        number = {name: k for k, name in enumerate(names)}
        for video, frame, joint, x, y in zip(
            *(table[name] for name in ("id", "frame", "joint", "x", "y")), strict=True
        ):
            found = points.setdefault((video, frame), np.full((len(names), 2), np.nan))
            found[number[joint]] = x, y
    return Marks(packed, places, points, names) if places or points else None
