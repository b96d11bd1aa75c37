"""NYU Depth v2 (Silberman et al., ECCV 2012) as a corpus with depth: pictures go through ingest, depth beside them.

    from modalities.image.reading.nyuv2 import nyuv2
    nyuv2(Path("nyuv2.zip"), Path("artifacts/corpus/image"), side=48)

for zips of small pictures with 8 bits of depth: {train,test}/{rgb/NAME.jpg,depth/NAME.png}. Call it from a file whose
last lines are under `if __name__ == "__main__"`, since ingest starts processes.
"""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modalities.image.corpus import corpus
from modalities.image.shared.depth import Metres
from modalities.image.shared.hha import Intrinsics

# Value 255 is 10 m; the camera's own pictures are 640 pixels wide.
STEPS_A_METRE = 25.5
WIDE, KINECT = 640, Intrinsics(518.9, 519.5, 325.6, 253.7)
FRAME = 4  # pixels of white around the pictures, at 240 wide


def nyuv2(archive: Path, out: Path, *, side: int) -> None:
    """Write a corpus with depth from a zip of {train,test}/{rgb/*.jpg,depth/*.png}, NYU Depth v2 made small.

    Pictures go through `ingest` like any others, without their white frame; depth follows them by the nearest pixel.
    Raises ValueError where the zip has no such pictures, or one of them has no depth.
    """
    from PIL import Image

    from modalities.image.ingest import ingest

    with zipfile.ZipFile(archive) as members, tempfile.TemporaryDirectory() as scratch:

        def cut(name: str) -> "Image.Image":
            image = Image.open(io.BytesIO(members.read(name)))
            return image.crop((FRAME, FRAME, image.width - FRAME, image.height - FRAME))

        have = set(members.namelist())
        pictures = [name for name in have if name.count("/") == 2 and "/rgb/" in name and name[-1] != "/"]
        bare = [name for name in pictures if _depth_of(name.replace("/rgb/", "/")) not in have]
        if bare or not pictures:
            what = f"no {_depth_of(min(bare).replace('/rgb/', '/'))}" if bare else "no {train,test}/rgb/"
            raise ValueError(f"{archive} has {what}; use a zip of {{train,test}}/{{rgb,depth}}/")
        for name in pictures:
            to = Path(scratch, name.replace("/rgb/", "/")).with_suffix(".png")
            to.parent.mkdir(parents=True, exist_ok=True)
            cut(name).save(to)
        ingest(
            scratch,
            out,
            side=side,
            fit="crop",
            labels="none",
            test=0.0,
            max_rejected=0.0,
            limit=0,
            composed={},
            tasks={},
        )
        made, sources = corpus(out), _sources(out)
        start = 0
        for number, shard in enumerate(made.shards):
            part = sources[start : start + len(shard)]
            planes = [cut(_depth_of(name)) for name in part]
            np.save(out / f"depth-{number:05d}.npy", np.stack([_square(np.asarray(p), side) for p in planes]))
            start += len(shard)
    width, height = planes[0].size
    meta = json.loads((out / "meta.json").read_text())
    meta |= {"intrinsics": _camera(width, height, side)._asdict(), "source": archive.name}
    meta["about"] = {"title": archive.stem}
    (out / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")


def _depth_of(picture: str) -> str:
    """train/7.png -> train/depth/7.png"""
    split, name = picture.split("/")
    return f"{split}/depth/{Path(name).stem}.png"


def _sources(folder: Path) -> list[str]:
    import pyarrow.parquet as pq

    found: list[str] = pq.read_table(folder / "index.parquet", columns=["source"])["source"].to_pylist()
    return found


def _square(values: NDArray[np.uint8], side: int) -> Metres:
    """The middle square, (H, W) -> (side, side), by the nearest pixel, since depths must not mix; in metres."""
    height, width = values.shape
    short = min(height, width)
    places = (np.arange(side) + 0.5) * short / side
    rows, columns = ((places + (length - short) / 2).astype(int) for length in (height, width))
    metres: Metres = (values[rows[:, None], columns] / STEPS_A_METRE).astype(np.float16)
    return metres


def _camera(width: int, height: int, side: int) -> Intrinsics:
    """Of the middle square, at `side`, of pictures of this size without their frame."""
    scale = (width + 2 * FRAME) / WIDE
    short = min(width, height)
    grow = side / short

    def principal(at: float, length: int) -> float:
        return ((at + 0.5) * scale - FRAME - (length - short) / 2) * grow - 0.5

    return Intrinsics(
        KINECT.fx * scale * grow,
        KINECT.fy * scale * grow,
        principal(KINECT.cx, width),
        principal(KINECT.cy, height),
    )
