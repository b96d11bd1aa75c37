"""Video input against decord on the same clips: `python -m benchmarks.video_input FOLDER_OR_ZIP [SHORT_SIDE]`.

Three rows:
- tuples: random tuples of three frames of random videos. decord's readers are kept open, `get_batch` of three numbers;
  ours is one gather from the memory-mapped store for a whole batch of tuples.
- clips: 16 neighbouring frames, alike.
- ingest: files to a corpus, whole (two processes started, listing, hashing, sampling in time, resizing, shots, hashes,
  writing), against decoding alone, every frame by the same reader, in two processes that run already. `start` is the
  whole of it for one file: processes, imports, tables. It is the same for ten files and for ten thousand, so `running`
  is the ratio without it, as a larger folder comes to.

decord gives full-size frames and ours the stored ones, which is the point of a store; `same size` has decord resize
while it decodes.
Where decord misreads the timestamps of some (see modalities/video/reading/decode.py), all are first encoded anew with
even ones, so that decord is the reader throughout.
"""

import contextlib
import io
import multiprocessing
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rates import measured, tell
from modalities.video.reading.decode import read

if TYPE_CHECKING:  # torch comes with it, and processes of ingest import what this file does
    from modalities.video.corpus import Videos

ROUNDS = 5
PEER, OURS = 200, 20_000  # samples a round
ASKED = {"tuples": 100.0, "clips": 30.0}
BATCH = 128
SETTINGS: dict[str, Any] = {
    "fps": 240, "labels": "none", "block": 0, "test": 0.25, "min_seconds": 0.0, "max_seconds": 600,
    "shot_threshold": 0.5, "max_rejected": 1.0, "limit": 0, "moving": {}, "tasks": {},
}  # fmt: skip


def readable(files: list[Path]) -> list[Path]:
    """Those of which decord knows all times."""
    import decord

    found = []
    for file in files:
        reader = decord.VideoReader(str(file), num_threads=1)
        times = np.asarray(reader.get_frame_timestamp(range(len(reader))))[:, 0]
        if np.isfinite(times).all() and (np.diff(times) > 0).all():
            found.append(file)
    return found


def access(row: str, files: list[Path], videos: "Videos", take: int, step: int) -> None:
    """`take` frames of a random video: `step` apart, or anywhere in it where that is 0."""
    import decord

    rng = np.random.default_rng(0)
    size = videos.sizes[0]
    readers = {
        "decord": [decord.VideoReader(str(file), num_threads=1) for file in files],
        "decord, same size": [
            decord.VideoReader(str(file), num_threads=1, width=int(size[1]), height=int(size[0]))
            for file in files
        ],
    }
    long = np.flatnonzero(videos.counts >= max(take, 1))

    def numbers(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        if step:
            first = (rng.random(len(lengths)) * (lengths - (take - 1) * step)).astype(np.int64)
            return first[:, None] + step * np.arange(take)
        places: NDArray[np.int64] = (rng.random((len(lengths), take)) * lengths[:, None]).astype(np.int64)
        return np.sort(places, 1)

    def peer(opened: list[Any]) -> Callable[[], None]:
        fit = [k for k, reader in enumerate(opened) if len(reader) >= take]

        def run() -> None:
            which = rng.choice(fit, PEER)
            asked = numbers(np.array([len(opened[k]) for k in which]))
            for k, frames in zip(which, asked, strict=True):
                opened[k].get_batch(frames.tolist()).asnumpy()

        return run

    def ours() -> None:
        for _ in range(OURS // BATCH):
            which = rng.choice(long, BATCH)
            asked = numbers(videos.counts[which])
            for shape in np.unique(videos.sizes[which], axis=0):
                rows = (videos.sizes[which] == shape).all(1)
                videos.frames(which[rows].repeat(take), asked[rows].reshape(-1))

    work = {"ours": (ours, OURS // BATCH * BATCH)} | {
        name: (peer(opened), PEER) for name, opened in readers.items()
    }
    found = measured(work, ROUNDS)
    for name, asked in (("decord", ASKED[row]), ("decord, same size", None)):
        about = f"{row} of {take} frames, {len(files)} clips, short side {int(size.min())}"
        tell(about, row + "/s", {"ours": found["ours"], name: found[name]}, asked)


def _decode(path: str) -> int:
    return sum(1 for _ in read(Path(path), range(10**9), "timestamps"))


def retimed(files: list[Path], out: Path) -> None:
    """The same clips with even timestamps: H.264, a keyframe every 12 frames."""
    import av

    for file in files:
        with av.open(str(file)) as opened, av.open(str(out / f"{file.stem}.mp4"), "w") as written:
            source = opened.streams.video[0]
            rate = source.guessed_rate or Fraction(25)
            stream: Any = written.add_stream("libx264", rate, options={"crf": "22", "g": "12"})
            stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
            for number, frame in enumerate(opened.decode(source)):
                frame.pts, frame.time_base = number, 1 / rate
                written.mux(stream.encode(frame))
            written.mux(stream.encode())


def ingest_row(files: list[Path], root: Path, scratch: Path, side: int) -> None:
    from modalities.common import parallel
    from modalities.video.ingest import ingest

    parallel.processes = lambda: 2
    frames = 0
    with multiprocessing.get_context("spawn").Pool(2) as pool:

        def alone() -> None:
            nonlocal frames
            frames = sum(pool.map(_decode, [str(file) for file in files], chunksize=2))

        def whole() -> None:
            shutil.rmtree(scratch / "out", ignore_errors=True)
            with contextlib.redirect_stdout(io.StringIO()):
                ingest(str(root), scratch / "out", short_side=side, **(SETTINGS | {"fps": 12}))

        def start() -> None:
            shutil.rmtree(scratch / "out", ignore_errors=True)
            with contextlib.redirect_stdout(io.StringIO()):
                ingest(str(root), scratch / "out", short_side=side, **(SETTINGS | {"fps": 12, "limit": 1}))

        work = {"ours": (whole, len(files)), "decoding alone": (alone, len(files)), "start": (start, 1)}
        rates = measured(work, ROUNDS)
    once = 1 / median(rates.pop("start"))
    running = len(files) / (len(files) / median(rates["ours"]) - once) / median(rates["decoding alone"])
    about = f"ingest of {len(files)} clips, {frames:,} frames, to a short side of {side}"
    tell(about, "files/s", rates, 0.8, start=round(once, 2), running=round(running, 2))


def main(source: Path, side: int) -> None:
    from modalities.video.ingest import ingest

    with tempfile.TemporaryDirectory() as folder:
        scratch, root = Path(folder), source
        if source.suffix == ".zip":
            root = scratch / "files"
            zipfile.ZipFile(source).extractall(root)
        files = sorted(
            path for path in root.rglob("*") if path.suffix.lower() in (".mp4", ".avi", ".mkv", ".webm")
        )
        sound = scratch / "sound"
        sound.mkdir()
        if len(readable(files)) < len(files):
            retimed(files, sound)
        else:
            for file in files:
                shutil.copy(file, sound)
        ingest_row(sorted(sound.iterdir()), sound, scratch, side)
        with contextlib.redirect_stdout(io.StringIO()):
            ingest(str(sound), scratch / "store", short_side=side, **SETTINGS)
        from modalities.video.corpus import corpus

        videos = corpus(scratch / "store")
        kept = [sound / name for name in videos.sources]
        access("tuples", kept, videos, 3, 0)
        access("clips", kept, videos, 16, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 96)
