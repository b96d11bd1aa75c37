"""Depth beside a corpus of pictures, and the HHA that is built from it.

A corpus folder may hold depth-00000.npy ... (n, H, W) float16 in metres, 0 where there is none, a shard for each shard
of pictures, and in meta.json the `intrinsics` of its pictures as stored; the source rgbd:PATH writes one
(modalities/image/reading/rgbd.py).
N pictures of H x W pixels.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.image.corpus import Images
from modalities.image.shared.hha import MIDDLE, Intrinsics, hha

Metres = NDArray[np.float16]


def depths(pictures: Images, key: str) -> tuple[Sequence[Metres], Intrinsics]:
    """The shards of depth and the camera. Raises ValueError, naming `key`, where a corpus has no depth."""
    files = sorted(pictures.folder.glob("depth-*.npy")) if pictures.folder else []
    camera = (
        json.loads((pictures.folder / "meta.json").read_text()).get("intrinsics")
        if pictures.folder and files
        else None
    )
    if not files or camera is None:
        raise ValueError(
            f"{key} is depth, but the corpus has no depth; set it to lab, or image.ingest.source to rgbd:PATH, "
            "pictures with depth beside them"
        )
    shards = [np.load(file, mmap_mode="r") for file in files]
    if [len(shard) for shard in shards] != [len(shard) for shard in pictures.shards]:
        raise ValueError(
            f"{pictures.folder}: depth-*.npy and images-*.npy have other numbers of rows; write both anew"
        )
    return shards, Intrinsics(**camera)


def write_hha(pictures: Images, out: Path, key: str) -> None:
    """hha.npy (N, H, W, 3) uint8, and known.npy, its like, 255 in all channels where HHA is known, else 0."""
    shards, camera = depths(pictures, key)
    beside = replace(pictures, shards=shards)  # type: ignore[arg-type]
    shape = (len(pictures), pictures.side, pictures.side, 3)
    channels, known = (
        np.lib.format.open_memmap(out / name, "w+", np.uint8, shape) for name in ("hha.npy", "known.npy")
    )
    for shard, rows, places in beside.parts(np.arange(len(pictures))):
        for row, place in zip(rows, places, strict=True):
            metres = shard[row].astype(np.float64)
            try:
                found = hha(100 * metres, camera, metres == 0)
            except ValueError as error:
                raise ValueError(f"picture {pictures.ids[place]}: {error}") from None
            channels[place], known[place] = found.channels, 255 * found.known[..., None]
    channels.flush()
    known.flush()


def read_hha(pictures: Images, built: Path) -> tuple[Images, Images]:
    """What `write_hha` wrote, as if it were pictures: HHA, and where it is known. Rows are those of `pictures`."""
    rows: Index = np.arange(len(pictures))
    found = [np.load(built / name, mmap_mode="r") for name in ("hha.npy", "known.npy")]
    first, second = (replace(pictures, shards=[shard], rows=rows) for shard in found)
    return first, second


def centred(channels: Any) -> Any:
    """HHA in [0, 1] as what is predicted: (channel - 127.5) / 127.5."""
    return (channels * 255 - MIDDLE) / MIDDLE
