"""How a corpus of pictures is written: pixels as they come, then shards in the order of the index.

Pictures end in any order, and their place is known only once all ids are, so they wait in one file of fixed-size
slots. Only one block of rows a process is ever in memory.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modalities.common import parallel
from modalities.image.reading.resize import Pixels

SHARD_BYTES = 1 << 30  # the most of one file
HEADER_BYTES = 128  # of an .npy file of four dimensions
BLOCK = 32  # rows copied at a time


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

    def __init__(self, path: Path, side: int, channels: int = 3) -> None:
        self.path = path
        self.side = side
        self.channels = channels
        self.bytes = side * side * channels

    def write(self, slot: int, pixels: Pixels) -> None:
        handle = _handle(self.path)
        _put(handle, pixels, slot * self.bytes)

    def read(self, slots: Sequence[int]) -> Pixels:
        """(n, side, side, channels)"""
        waiting = np.memmap(self.path, np.uint8, "r").reshape(-1, self.side, self.side, self.channels)
        return np.asarray(waiting[np.asarray(slots)])


_handles: dict[Path, int] = {}


def _handle(path: Path) -> int:
    """One open file a process; it is closed when the process ends."""
    if path not in _handles:
        _handles[path] = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    return _handles[path]


def _put(handle: int, pixels: Pixels, place: int) -> None:
    data = np.ascontiguousarray(pixels).data
    if os.pwrite(handle, data, place) != data.nbytes:
        raise OSError("the disk is full; make room, or take a smaller image.ingest.side or limit")


class Block(NamedTuple):
    """Rows that are copied together: from these slots to this place in a shard."""

    number: int
    shard: Path
    place: int  # bytes
    slots: list[int]


@dataclass(frozen=True)
class _Copy:
    """What each process does with a block; returns the SHA-256 of its pixels."""

    slots: Slots

    def __call__(self, block: Block) -> bytes:
        pixels = self.slots.read(block.slots)
        _put(_handle(block.shard), pixels, block.place)
        return hashlib.sha256(pixels.data).digest()


def write(out: Path, rows: Sequence[Row], slots: Slots, processes: int) -> str:
    """Write images-*.npy and index.parquet for rows in their final order; return a fingerprint of their content.

    It is the SHA-256 of the index and of the SHA-256 of every BLOCK rows of pixels.
    """
    blocks = _lay_out(out.absolute(), rows, slots)
    found: dict[int, bytes] = {}
    for chunk in parallel.each(_Copy(slots), blocks, processes):
        for block, digest in chunk:
            if isinstance(digest, parallel.Died):
                raise OSError(f"{block.shard.name} could not be written: {digest}")
            found[block.number] = digest
    _write_index(out / "index.parquet", rows)
    index = json.dumps([row[:-1] for row in rows]).encode()
    return hashlib.sha256(index + b"".join(found[block.number] for block in blocks)).hexdigest()


def _lay_out(out: Path, rows: Sequence[Row], slots: Slots) -> list[Block]:
    """Make the shards, with nothing but their headers, and say which rows go where."""
    room = max(1, (SHARD_BYTES - HEADER_BYTES) // slots.bytes)
    blocks: list[Block] = []
    for number, start in enumerate(range(0, len(rows), room)):
        part = rows[start : start + room]
        shard = out / f"images-{number:05d}.npy"
        with shard.open("wb") as stream:
            shape = (len(part), slots.side, slots.side, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            place = stream.tell()
        for k in range(0, len(part), BLOCK):
            waiting = [row.slot for row in part[k : k + BLOCK]]
            blocks.append(Block(len(blocks), shard, place + k * slots.bytes, waiting))
    return blocks


def _write_index(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {name: pa.string() for name in ("id", "source", "label", "split")}
    kinds |= {"height": pa.int32(), "width": pa.int32()}
    columns = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in kinds.items()}
    pq.write_table(pa.table(columns), path)
