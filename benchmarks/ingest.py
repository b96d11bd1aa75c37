"""Ingest against decoding and resizing alone: `python -m benchmarks.ingest FOLDER_OR_ZIP [SIDE]`.

Alone means: two processes, already started, read each JPEG, decode it, resize it and drop it. Every decoder that is
installed is tried: Pillow, torchvision, OpenCV, and simplejpeg where it is there. Ingest is timed whole: listing,
starting two processes, hashing, decoding, checking, splitting, writing. Of all, the first of the rounds is dropped: it
imports the libraries and starts the server that ingest's processes are forked from. One JSON line: medians of files a
second, and ingest's rate over that of each decoder.
"""

import contextlib
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def main(source: Path, side: int) -> None:
    from modalities.common import parallel
    from modalities.image.ingest import ingest

    parallel.processes = lambda: 2
    with tempfile.TemporaryDirectory() as scratch:
        root = source
        if source.suffix == ".zip":
            root = Path(scratch) / "files"
            zipfile.ZipFile(source).extractall(root)
        files = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
        seconds: dict[str, list[float]] = {}
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            names = installed(files, side)
            for number in range(
                ROUNDS + 1
            ):  # the first round warms the disk's cache and the processes, and is dropped
                for name in names:
                    start = time.perf_counter()
                    pool.map(_read, [(name, str(path), side) for path in files], chunksize=32)
                    seconds.setdefault(name, []).append(time.perf_counter() - start)
                start = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()):
                    ingest(str(root), Path(scratch) / str(number), side=side, fit="squash", labels="none",
                           test=0.2, max_rejected=1.0, limit=0, composed={}, tasks={})  # fmt: skip
                seconds.setdefault("ingest", []).append(time.perf_counter() - start)
        rates = {name: len(files) / statistics.median(taken[1:]) for name, taken in seconds.items()}
        print(
            json.dumps(
                {
                    "source": source.name,
                    "files": len(files),
                    "side": side,
                    "files_per_second": {name: round(rate) for name, rate in rates.items()},
                    "ratio": {name: round(rates["ingest"] / rates[name], 3) for name in names},
                }
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 48)
