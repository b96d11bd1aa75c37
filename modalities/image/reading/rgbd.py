"""Pictures with depth beside them, the source `rgbd:FOLDER_OR_ZIP`: pictures go through ingest, depth follows them.

    train/rgb/a.jpg  train/depth/a.png  test/rgb/b.jpg ...  camera.json

Depth is grey, of 8 or 16 bits, as large as its picture, 0 where there is none. camera.json is what is known of it:
fx, fy, cx and cy in pixels of pictures `width` wide; `steps`, how many of depth's values are a metre; `frame`, pixels
around the pictures that show nothing, 0 where it is left out. Without it the pictures are taken for NYU Depth v2
(Silberman et al., ECCV 2012) made small: 8 bits, 255 at 10 metres, the Kinect's own camera, a white frame of 4 pixels.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.image.corpus import corpus
from modalities.image.shared.hha import Intrinsics

PREFIX = "rgbd:"
NYU = {"fx": 518.9, "fy": 519.5, "cx": 325.6, "cy": 253.7, "width": 640, "steps": 25.5, "frame": 4}


@dataclass(frozen=True)
class Camera:
    """What camera.json says; lengths in pixels of pictures `width` wide, the frame in pixels of these."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    steps: float
    frame: int = 0

    def square(self, width: int, height: int, side: int) -> Intrinsics:
        """Of the middle square, at `side`, of pictures of this size without their frame."""
        scale = (width + 2 * self.frame) / self.width
        short = min(width, height)
        grow = side / short

        def principal(at: float, length: int) -> float:
            return ((at + 0.5) * scale - self.frame - (length - short) / 2) * grow - 0.5

        x, y = principal(self.cx, width), principal(self.cy, height)
        return Intrinsics(self.fx * scale * grow, self.fy * scale * grow, x, y)


@dataclass(frozen=True)
class Members:
    """The files of a folder or a zip, by name."""

    names: set[str]
    read: Callable[[str], bytes]


def ingest(source: str, out: Path, *, side: int, max_rejected: float) -> None:
    """Write a corpus with depth: pictures without labels, cropped to squares, and depth-*.npy, by the nearest pixel.

    Raises ValueError where the source has no such pictures, one of them has no depth, or camera.json is not as above.
    """
    path = Path(source.removeprefix(PREFIX)).expanduser().absolute()
    if path.is_dir():
        found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        _write(path.name, Members(found, lambda name: (path / name).read_bytes()), out, side, max_rejected)
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            _write(path.stem, Members(set(opened.namelist()), opened.read), out, side, max_rejected)
    else:
        raise FileNotFoundError(f"image.ingest.source is {source}; there is no such folder or zip")


def _write(title: str, members: Members, out: Path, side: int, max_rejected: float) -> None:
    from modalities.image import ingest as plain

    camera = _camera(members)
    pictures = [
        name for name in members.names if name.count("/") == 2 and "/rgb/" in name and name[-1] != "/"
    ]
    bare = [name for name in pictures if _depth_of(name.replace("/rgb/", "/")) not in members.names]
    if bare or not pictures:
        what = f"no {_depth_of(min(bare).replace('/rgb/', '/'))}" if bare else "no {train,test}/rgb/"
        raise ValueError(f"{title} has {what}; image.ingest.source rgbd: needs {{train,test}}/{{rgb,depth}}/")
    with tempfile.TemporaryDirectory() as scratch:
        for name in pictures:
            to = Path(scratch, name.replace("/rgb/", "/")).with_suffix(".png")
            to.parent.mkdir(parents=True, exist_ok=True)
            _cut(members, name, camera.frame).save(to)
        plain.ingest(scratch, out, side=side, fit="crop", labels="none", test=0.0, max_rejected=max_rejected,
                     limit=0, composed={}, tasks={})  # fmt: skip
    start, sources = 0, _sources(out)
    for number, shard in enumerate(corpus(out).shards):
        part = sources[start : start + len(shard)]
        planes = [np.asarray(_cut(members, _depth_of(name), camera.frame)) for name in part]
        metres = np.stack([_square(plane, side) for plane in planes]) / camera.steps
        np.save(out / f"depth-{number:05d}.npy", metres.astype(np.float16))
        start += len(shard)
    height, width = planes[0].shape[:2]
    meta = json.loads((out / "meta.json").read_text())
    meta |= {"intrinsics": camera.square(width, height, side)._asdict(), "source": title}
    meta["about"] = {"title": title}
    (out / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")


def _camera(members: Members) -> Camera:
    if "camera.json" not in members.names:
        return Camera(**NYU)  # type: ignore[arg-type]
    try:
        found = Camera(**json.loads(members.read("camera.json")))
        if min(found.fx, found.fy, found.width, found.steps) <= 0 or found.frame < 0:
            raise ValueError("fx, fy, width and steps must be above 0, and frame not below")
    except (TypeError, ValueError) as why:
        raise ValueError(
            f"camera.json: {why}; it needs fx, fy, cx, cy, width, steps, and may have frame"
        ) from None
    return found


def _cut(members: Members, name: str, frame: int) -> Any:
    """The picture without its frame."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(members.read(name)))
        return image.crop((frame, frame, image.width - frame, image.height - frame))
    except OSError as why:
        raise ValueError(f"{name} cannot be read as a picture ({why}); mend it or take it out") from None


def _depth_of(picture: str) -> str:
    """train/7.png -> train/depth/7.png"""
    split, name = picture.split("/")
    return f"{split}/depth/{Path(name).stem}.png"


def _sources(folder: Path) -> list[str]:
    import pyarrow.parquet as pq

    found: list[str] = pq.read_table(folder / "index.parquet", columns=["source"])["source"].to_pylist()
    return found


def _square(values: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle square, (H, W) -> (side, side), by the nearest pixel, since depths must not mix."""
    height, width = values.shape
    short = min(height, width)
    places = (np.arange(side) + 0.5) * short / side
    rows, columns = ((places + (length - short) / 2).astype(int) for length in (height, width))
    square: NDArray[Any] = values[rows[:, None], columns]
    return square
