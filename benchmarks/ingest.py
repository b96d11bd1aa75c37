"""Ingest against decoding and resizing alone: `python -m benchmarks.ingest [FOLDER_OR_ZIP [SIDE]]`.

Without a folder, 2,048 pictures of 128 px are made.

Alone means: two processes, already started, read each JPEG, decode it, resize it and drop it. Every decoder that is
installed is tried: Pillow, torchvision, OpenCV, and simplejpeg where it is there. Ingest is timed whole: listing,
starting two processes, hashing, decoding, checking, splitting, writing; the round that is dropped imports the libraries
and starts the server that ingest's processes are forked from. One JSON line a decoder.
"""

import contextlib
import io
import multiprocessing
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rates import measured, tell

ROUNDS = 5


def pillow(data: bytes, side: int) -> Any:
    """Draft mode where it helps, as Pillow's own documentation advises."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    width, height = image.size
    short = min(width, height)
    image.draft("RGB", (2 * side * width // short, 2 * side * height // short))
    resized = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(resized)


def torchvision(data: bytes, side: int) -> Any:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2.functional import resize

    torch.set_num_threads(1)
    decoded = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return resize(decoded, [side, side], antialias=True)


def opencv(data: bytes, side: int) -> Any:
    """As ingest itself does it."""
    from modalities.image.reading import jpeg
    from modalities.image.reading.resize import resize

    size = jpeg.header(data) or jpeg.Header(
        side, side, False
    )  # OpenCV itself tells no size before it decodes
    decoded = jpeg.pixels(data, size, side, "squash")
    assert decoded is not None
    return resize(decoded, side, "squash")


def simplejpeg(data: bytes, side: int) -> Any:
    """At the size nearest above, in eighths, and with ingest's own way of resizing."""
    import simplejpeg  # type: ignore[import-not-found, unused-ignore]

    from modalities.image.reading.resize import resize

    return resize(simplejpeg.decode_jpeg(data, min_height=2 * side, min_width=2 * side), side, "squash")


DECODERS: dict[str, Callable[[bytes, int], Any]] = {
    "pillow": pillow,
    "torchvision": torchvision,
    "opencv": opencv,
    "simplejpeg": simplejpeg,
}


def _read(job: tuple[str, str, int]) -> None:
    decoder, path, side = job
    DECODERS[decoder](Path(path).read_bytes(), side)


def installed(files: list[Path], side: int) -> list[str]:
    found = []
    for name in DECODERS:
        with contextlib.suppress(ImportError):
            _read((name, str(files[0]), side))
            found.append(name)
    return found


def jpegs(source: Path | None, scratch: Path) -> Path:
    """The folder of files: the one named, what a zip holds, or pictures that are made."""
    root = scratch / "files"
    if source is None:
        from PIL import Image

        from benchmarks.pictures import pictures

        root.mkdir()
        for k, pixels in enumerate(pictures(2048, 128)):
            Image.fromarray(pixels).save(root / f"{k:04d}.jpg", quality=90)
        return root
    if source.suffix != ".zip":
        return source
    zipfile.ZipFile(source).extractall(root)
    return root


def read(source: Path, out: Path, side: int) -> None:
    """Ingest a folder into another, in silence."""
    from modalities.image.ingest import ingest

    with contextlib.redirect_stdout(io.StringIO()):
        ingest(str(source), out, side=side, fit="squash", labels="none", test=0.2, max_rejected=1.0, limit=0,
               composed={}, tasks={})  # fmt: skip


def whole(root: Path, scratch: Path, side: int) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        read(root, Path(out), side)


def main(source: Path | None, side: int) -> None:
    from modalities.common import parallel

    parallel.processes = lambda: 2
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(2) as pool:
        root = jpegs(source, Path(folder))
        files = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]

        def alone(name: str) -> None:
            pool.map(_read, [(name, str(path), side) for path in files], chunksize=32)

        work: Any = {name: (partial(alone, name), len(files)) for name in installed(files, side)}
        rates = measured(work | {"ours": (lambda: whole(root, Path(folder), side), len(files))}, ROUNDS)
        fastest = max((name for name in rates if name != "ours"), key=lambda name: median(rates[name]))
        for name in work:
            against = {"ours": rates["ours"], f"decoding alone, {name}": rates[name]}
            asked = 0.8 if name == fastest else None
            tell(f"ingest of {len(files):,} JPEG files to {side} px", "files/s", against, asked)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 48)
