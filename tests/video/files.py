"""Small video files for the tests of ingest, written by PyAV, and how they are ingested."""

import csv
import json
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from modalities.video.ingest import ingest
from tests.video.toys import DATA

BAD = DATA / "bad"
needs_bad = pytest.mark.skipif(not BAD.exists(), reason="the private folder of broken files is not here")
Params = dict[str, Any]
Pixels = NDArray[np.uint8]
DEFAULTS: Params = {
    "fps": 12, "short_side": 32, "labels": "folders", "block": 0, "test": 0.25, "min_seconds": 0.4, "max_seconds": 60,
    "shot_threshold": 0.5, "max_rejected": 0.0, "limit": 0, "moving": {"clips": 8, "seconds": 1.0, "seed": 1},
    "tasks": {},
}  # fmt: skip


def grays(levels: Sequence[int], height: int = 32, width: int = 52) -> list[Pixels]:
    """Flat frames of these grey levels, with a bright mark in the top left corner."""
    frames = [np.full((height, width, 3), level, np.uint8) for level in levels]
    for frame in frames:
        frame[:12, :12] = 255 if frame[-1, -1, 0] < 128 else 0
    return frames


def scene(seed: int, count: int = 15, height: int = 32, width: int = 52) -> list[Pixels]:
    """A textured ground of its own for each seed, over which a square moves."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3)), np.ones((8, 8, 1)))
    frames = [ground[:height, :width].astype(np.uint8) for _ in range(count)]
    for k, frame in enumerate(frames):
        left = k * (width - 8) // count
        frame[10:18, left : left + 8] = rng.integers(0, 256, 3)
    return frames


def film(
    path: Path,
    frames: Sequence[Pixels],
    *,
    rate: int = 30,
    times: Sequence[float] | None = None,
    aspect: Fraction | None = None,
    codec: str = "libx264",
    crf: int = 12,
) -> Path:
    """Write a file; `times` are in seconds, else frames are evenly spaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate, options={"crf": str(crf)} if codec == "libx264" else {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(1000 * (times[k] if times else k / rate)), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def turn(path: Path) -> Path:
    """Set the display matrix of an mp4 to a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", data[start : start + 36])[:2] == (1 << 16, 0)
    data[start : start + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def classes(root: Path, count: int = 6) -> Path:
    """Two class folders with as many short videos between them."""
    for k in range(count):
        film(root / ("run", "walk")[k % 2] / f"{k}.mp4", scene(k))
    return root


def run(
    source: Path | str, out: Path, **changes: Any
) -> tuple[Params, dict[str, Params], dict[str, tuple[str, str]]]:
    """(meta, rows by source name, rejected by file) of an ingest with these changes to the defaults."""
    ingest(str(source), out, **(DEFAULTS | changes))
    rows = {row["source"]: row for row in pq.read_table(out / "videos.parquet").to_pylist()}
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        rejected = {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(stream)}
    return json.loads((out / "meta.json").read_text()), rows, rejected
