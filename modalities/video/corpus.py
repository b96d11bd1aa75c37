"""Read a corpus of videos: memory-mapped frames of every video, and what is known of each.

artifacts/corpus/video/ holds frames-000.u8 ... (raw uint8, the frames (H, W, 3) of each video back to back),
videos.parquet, shots.parquet, rejected.csv, meta.json and, where there are any, masks.bin, masks.parquet and
joints.parquet; tasks/NAME/ is another such folder for each further labelled set. `modalities/video/ingest.py` writes
them. Frames are evenly spaced in time: frame k of a video is what was to be seen k / fps seconds after its start.

N videos, M frames asked for, H, W a video's height and width, J joints.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.image.shared.rendering import Part
from modalities.video.marks import Marks, marks

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

THREADS, PORTION = 2, 32  # that copy frames, and how many frames are worth one
LISTS = ("ids", "groups", "sources", "shots")  # what there is of each video
ARRAYS = ("labels", "splits", "fps", "counts", "sizes", "originals", "where")


@dataclass(frozen=True)
class Videos:
    """N videos in a fixed order, each with a height, width, rate and number of frames of its own."""

    shards: Sequence[Pixels]  # each (bytes,)
    ids: list[str]
    labels: Index  # (N,), -1 where unknown
    splits: NDArray[np.str_]  # (N,), "train" or "test"
    classes: list[str]
    groups: list[
        str
    ]  # videos of one group come from one recording: they share a split, and no retrieval counts them
    sources: list[str]  # the file of each
    fps: Floats  # (N,), stored frames a second
    counts: Index  # (N,), stored frames
    sizes: Index  # (N, 2), height and width of the stored frames
    originals: (
        Index  # (N, 2), height and width of the source as it is shown; masks and joints are in its pixels
    )
    shots: list[
        Index
    ]  # for each video (shots, 2): first frame, and one past the last; together all its frames
    where: Index  # (N, 2), shard and first byte
    marks: Marks | None = None
    others: Mapping[str, Path] | None = None  # folders of the further labelled sets

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, split: str) -> "Videos":
        keep = np.flatnonzero(self.splits == split)
        if not len(keep):
            raise ValueError(
                f"the corpus has no video in its {split} split; see `test` in params.yaml, video.ingest"
            )
        return self.take(keep)

    def take(self, keep: Index) -> "Videos":
        """These rows, in this order; the pixels are shared."""
        rows = keep.tolist()
        lists = {name: [getattr(self, name)[k] for k in rows] for name in LISTS}
        arrays = {name: getattr(self, name)[keep] for name in ARRAYS}
        changes: dict[str, Any] = {**lists, **arrays}
        return replace(self, **changes)

    def tasks(self) -> dict[str, "Videos"]:
        """Further labelled sets, on which encoders are judged and never trained, by name."""
        return {name: corpus(folder) for name, folder in sorted((self.others or {}).items())}

    def shot_table(self) -> Index:
        """(S, 3): video, first frame and one past the last, of every shot. No clip may cross from one to another."""
        rows = [np.insert(shots, 0, video, axis=1) for video, shots in enumerate(self.shots)]
        return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)

    def parts(self, videos: Index, frames: Index) -> Iterator[Part]:
        """Where these frames lie, a part for each shard that holds some; `frames[k]` is a frame of `videos[k]`.

        Raises ValueError for a frame that its video does not have: whoever reads the bytes looks no further.
        """
        beyond = (frames < 0) | (frames >= self.counts[videos])
        if beyond.any():
            video, frame = videos[beyond.argmax()], frames[beyond.argmax()]
            raise ValueError(f"video {self.ids[video]} has {self.counts[video]} frames, and no frame {frame}")
        shapes = self.sizes[videos]
        shard, first = self.where[videos].T
        starts = first + frames * (3 * shapes.prod(1))
        for k in np.unique(shard):
            places = np.flatnonzero(shard == k)
            yield Part(np.asarray(self.shards[k]), starts[places], shapes[places], places)

    def frames(self, videos: Index, frames: Index) -> Pixels:
        """(M, H, W, 3), frame frames[k] of videos[k], copied out of the shards.

        For frames of one shape, such as those of one video; `augment.cut` reads any shapes. Raises ValueError where
        shapes differ or a video has no such frame.
        """
        from modalities.video.shared.gather import copy

        shapes = np.unique(self.sizes[videos], axis=0)
        if len(shapes) != 1:
            raise ValueError(f"frames of {len(shapes)} shapes do not stack; read them with `augment.cut`")
        out = np.empty((len(videos), *shapes[0], 3), np.uint8)
        flat = out.reshape(len(out), -1)
        with ThreadPoolExecutor(THREADS) as pool:  # of this call alone, as in image's rendering
            for stored, starts, _, places in self.parts(videos, frames):
                bytes_ = stored.view()
                bytes_.flags.writeable = False  # one signature, hence one compilation, for files and memory
                some = max(PORTION, -(-len(starts) // THREADS))
                work = [
                    pool.submit(copy, bytes_, starts[k : k + some], places[k : k + some], flat)
                    for k in range(0, len(starts), some)
                ]
                for done in work:
                    done.result()
        return out

    def clip(self, video: int, start: int = 0, stop: int | None = None) -> Pixels:
        """(T, H, W, 3): the frames of one video from `start` up to, but not, `stop` (None: its end)."""
        numbers = np.arange(start, int(self.counts[video]) if stop is None else stop)
        return self.frames(np.full(len(numbers), video), numbers)

    def show(self, index: Index) -> list[Pixels]:
        """The middle frame of each video."""
        return [
            self.frames(index[k : k + 1], self.counts[index[k : k + 1]] // 2)[0] for k in range(len(index))
        ]

    def masks(self, video: int, frame: int) -> Pixels | None:
        """(H', W') of object numbers, 0 for none, at the source's own size; None where that frame has no mask."""
        return None if self.marks is None else self.marks.mask(self.ids[video], frame)

    def joints(self, video: int, frame: int) -> Floats | None:
        """(J, 2) of x, y in pixels of the source, the middle of its first pixel at 0, 0; NaN where a joint is hidden.

        None where that frame has no joints. Their names are `marks.joints`.
        """
        return None if self.marks is None else self.marks.points.get((self.ids[video], frame))


def corpus(path: Path) -> Videos:
    """Open what ingest wrote; the pixels stay on disk until they are read."""
    import pyarrow.parquet as pq

    if not (path / "meta.json").exists():
        raise FileNotFoundError(f"{path} holds no corpus; run `dvc repro` first")
    classes = json.loads((path / "meta.json").read_text())["classes"]
    number = {name: k for k, name in enumerate(classes)}
    table = pq.read_table(path / "videos.parquet").to_pydict()
    shots = pq.read_table(path / "shots.parquet").to_pydict()
    cuts = np.array([shots["start"], shots["stop"]], np.int64).T
    ends = np.cumsum(np.bincount(np.array(shots["video"], np.int64), minlength=len(table["id"])))

    def columns(*names: str) -> Index:
        return np.array([table[name] for name in names], np.int64).T

    return Videos(
        shards=[np.memmap(shard, np.uint8, "r") for shard in sorted(path.glob("frames-*.u8"))],
        ids=table["id"],
        labels=np.array([-1 if name is None else number[name] for name in table["label"]], np.int64),
        splits=np.array(table["split"], np.str_),
        classes=classes,
        groups=table["group"],
        sources=table["source"],
        fps=np.array(table["fps"], np.float64),
        counts=np.array(table["frames"], np.int64),
        sizes=columns("height", "width"),
        originals=columns("source_height", "source_width"),
        shots=np.split(cuts, ends[:-1]),
        where=columns("shard", "offset"),
        marks=marks(path),
        others={folder.name: folder for folder in sorted(path.glob("tasks/*")) if folder.is_dir()},
    )
