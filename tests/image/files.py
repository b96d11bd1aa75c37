"""Folders of small pictures for the tests of ingest, and how they are ingested."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.image.ingest import ingest

ROOT = Path(__file__).resolve().parents[2]
BAD = ROOT / "../shared/data/bad"
needs_bad = pytest.mark.skipif(not BAD.exists(), reason="the private folder of broken files is not here")
Params = dict[str, Any]
DEFAULTS: Params = {
    "side": 16,
    "fit": "crop",
    "labels": "folders",
    "test": 0.25,
    "max_rejected": 0.0,
    "limit": 0,
    "composed": {"count": 12, "objects": [1, 3], "seed": 5},
    "tasks": {},
}


def picture(seed: int, height: int = 20, width: int = 24) -> NDArray[np.uint8]:
    """Smooth enough for JPEG, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def jpeg_with(orientation: int, pixels: NDArray[np.uint8], kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind, exif=exif, quality=95)


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def classes(root: Path, count: int = 6) -> Path:
    """Two class folders, with as many pictures between them."""
    for k in range(count):
        put(root / ("cats", "dogs")[k % 2] / f"{k}.png", encoded(picture(k)))
    return root


def touch(root: Path, *names: str) -> Path:
    for name in names:
        put(root / name, b"x")
    return root


def run(
    source: Path | str, out: Path, **changes: Any
) -> tuple[Params, dict[str, Params], dict[str, tuple[str, str]]]:
    """(meta, rows by source name, rejected by file) of an ingest with these changes to the defaults."""
    ingest(str(source), out, **(DEFAULTS | changes))
    rows = {row["source"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        rejected = {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(stream)}
    return json.loads((out / "meta.json").read_text()), rows, rejected
