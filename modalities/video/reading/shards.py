"""How a corpus of videos is written: the frames of all videos back to back, and tables of what is known of them."""

import csv
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from modalities.video.reading.clip import Taken
from modalities.video.reading.sources import Rejection

SHARD_BYTES = 1 << 30  # the most of one file, where it holds several videos


class Row(NamedTuple):
    """A row of videos.parquet."""

    id: str
    source: str
    label: str | None
    group: str
    split: str
    frames: int
    height: int
    width: int
    source_height: int  # as it is shown: upright, with square pixels
    source_width: int
    fps: float
    source_fps: float  # of the source, on average
    fps_source: str  # timestamps; rate, where the file has none to be trusted; none: numbered pictures
    variable: bool
    turned: bool  # by a quarter turn, as its metadata say
    shard: int
    offset: int  # bytes


def write(
    out: Path, kept: Sequence[Taken], groups: Sequence[str], splits: Sequence[str]
) -> tuple[list[Row], str]:
    """Write frames-*.u8 and the tables, for videos in their final order, and remove their scratch files.

    Returns the rows and a fingerprint: SHA-256 of the rows, of what is known of frames and of all pixels.
    """
    rows, shard, offset = list[Row](), 0, 0
    for each, recording, split in zip(kept, groups, splits, strict=True):
        size = each.frames * each.size[0] * each.size[1] * 3
        if offset and offset + size > SHARD_BYTES:
            shard, offset = shard + 1, 0
        found = each.grid
        rows.append(
            Row(
                each.id, each.item.name, each.item.label, recording, split, each.frames, *each.size, *each.original,
                found.fps, found.rate, each.clock, found.variable, each.turned, shard, offset,
            )
        )  # fmt: skip
        offset += size
    for row, each in zip(rows, kept, strict=True):
        append(each.scratch, out / f"frames-{row.shard:03d}.u8")
        each.scratch.unlink()
    _table(out / "videos.parquet", [row._asdict() for row in rows])
    shots = [
        {"video": k, "start": start, "stop": stop}
        for k, each in enumerate(kept)
        for start, stop in each.seen.shots
    ]
    _table(out / "shots.parquet", shots)
    known = _masks(out, kept) + _joints(out, kept)
    digests = b"".join(each.seen.digest for each in kept)
    return rows, hashlib.sha256(json.dumps([*rows, shots, known]).encode() + digests).hexdigest()


def append(piece: Path, whole: Path) -> None:
    """Add the bytes of one file to the end of another; where the system can, without a detour through this process."""
    whole.touch()
    with piece.open("rb") as source, whole.open("r+b") as stored:  # "ab" would do, but not for sendfile
        stored.seek(0, os.SEEK_END)
        if not hasattr(os, "sendfile") or sys.platform == "darwin":  # there it sends to sockets alone
            shutil.copyfileobj(source, stored, 1 << 22)
            return
        size, sent = os.fstat(source.fileno()).st_size, 0
        while sent < size:
            sent += os.sendfile(stored.fileno(), source.fileno(), sent, size - sent)


def _masks(out: Path, kept: Sequence[Taken]) -> list[Any]:
    rows, offset = [], 0
    for each in kept:
        for frame, mask in sorted(each.masks.items()):
            place = {"offset": offset, "length": len(mask.data), "height": mask.height, "width": mask.width}
            rows.append({"id": each.id, "frame": frame} | place)
            offset += len(mask.data)
    if rows:
        with (out / "masks.bin").open("wb") as stream:
            for each in kept:
                stream.writelines(mask.data for _, mask in sorted(each.masks.items()))
        _table(out / "masks.parquet", rows)
    return rows


def _joints(out: Path, kept: Sequence[Taken]) -> list[Any]:
    rows = [
        {"id": each.id, "frame": frame, "joint": joint.joint, "x": joint.x, "y": joint.y}
        for each in kept
        for frame, joints in sorted(each.joints.items())
        for joint in joints
    ]
    if rows:
        _table(out / "joints.parquet", rows)
    return rows


def _table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    if "label" in table.column_names:  # none of them may have one
        column = table.column_names.index("label")
        table = table.set_column(column, "label", table["label"].cast(pa.string()))
    pq.write_table(table, path)


def write_rejected(path: Path, rejected: Iterable[Rejection]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Rejection._fields)
        rows.writerows(sorted(rejected))
