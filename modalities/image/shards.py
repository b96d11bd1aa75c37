"""How a corpus of pictures is written: pixels as they come, then shards in the order of the index.

Pictures end in any order, and their place is known only once all ids are, so they wait in one file of fixed-size
slots. Only one block of rows is ever in memory.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modalities.image.resize import Pixels

SHARD_BYTES = 1 << 30
BLOCK = 256  # rows copied at a time


class Row(NamedTuple):
    """A row of index.parquet, and where its pixels wait."""

    id: str
    source: str
    label: str | None
    split: str
    height: int  # of the original, upright
    width: int
    slot: int


class Slots:
    """A file with room for one picture a slot. Any process may write; a full disk is an OSError, not a crash."""

    def __init__(self, path: Path, side: int) -> None:
        self.path = path
        self.side = side
        self.bytes = side * side * 3

    def write(self, slot: int, pixels: Pixels) -> None:
        handle = _handle(self.path)
        if os.pwrite(handle, pixels.tobytes(), slot * self.bytes) != self.bytes:
            raise OSError(f"the disk is full: {self.path} cannot grow")

    def read(self, slots: Sequence[int]) -> Pixels:
        """(n, side, side, 3)"""
        waiting = np.memmap(self.path, np.uint8, "r").reshape(-1, self.side, self.side, 3)
        return np.asarray(waiting[np.asarray(slots)])


_handles: dict[Path, int] = {}


def _handle(path: Path) -> int:
    """One open file a process; it is closed when the process ends."""
    if path not in _handles:
        _handles[path] = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    return _handles[path]


def write(out: Path, rows: Sequence[Row], slots: Slots) -> str:
    """Write images-*.npy and index.parquet for rows in their final order; return the SHA-256 of their content."""
    found = hashlib.sha256()
    each = max(1, SHARD_BYTES // slots.bytes - 1)  # one less, for the header
    for number, start in enumerate(range(0, len(rows), each)):
        part = rows[start : start + each]
        with (out / f"images-{number:05d}.npy").open("wb") as stream:
            shape = (len(part), slots.side, slots.side, 3)
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            for k in range(0, len(part), BLOCK):
                pixels = slots.read([row.slot for row in part[k : k + BLOCK]]).tobytes()
                found.update(pixels)
                stream.write(pixels)
    _write_index(out / "index.parquet", rows)
    found.update(json.dumps([row[:-1] for row in rows]).encode())
    return found.hexdigest()


def _write_index(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {name: pa.string() for name in ("id", "source", "label", "split")}
    kinds |= {"height": pa.int32(), "width": pa.int32()}
    columns = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in kinds.items()}
    pq.write_table(pa.table(columns), path)
