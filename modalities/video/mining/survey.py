"""Look through every video of a corpus once, in several processes, with a bar: motion, tuples in order, tracks.

What is found of a video depends on the video, the settings and the seed alone, so not on how many processes there are
or which other videos there are. N videos.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from modalities.common import parallel
from modalities.common.progress import track
from modalities.video.corpus import Videos
from modalities.video.mining import motion, tracks, tuples
from modalities.video.mining.motion import Frames, Shots

Result = TypeVar("Result")
FEW = 2000  # frames that are looked through sooner than processes start


@dataclass(frozen=True)
class Clip:
    """One video as a process opens it by itself: maps are not sent."""

    number: int
    key: int  # a number of its id alone
    fps: float
    shots: Shots
    shape: tuple[int, ...]  # (F, H, W, 3)
    file: str  # of its shard, and where it starts there
    offset: int

    def frames(self) -> Frames:
        return np.memmap(self.file, np.uint8, "r", self.offset, self.shape)


@dataclass(frozen=True)
class Work(Generic[Result]):
    """`look(clip, frames)`, as each process has it."""

    look: Callable[[Clip, Frames], Result]

    def __call__(self, clip: Clip) -> Result:
        import cv2

        cv2.setNumThreads(1)  # each process has one core
        return self.look(clip, clip.frames())


def over(corpus: Videos, look: Callable[[Clip, Frames], Result], label: str) -> list[Result]:
    """`look` at every video; its results in the order of the corpus. Raises RuntimeError where a process dies."""
    clips = [_clip(corpus, k) for k in range(len(corpus))]
    found: dict[int, Any] = {}
    with track(int(corpus.counts.sum()), "frames", label) as shown:
        if corpus.counts.sum() < FEW or not all(clip.file for clip in clips):
            for clip in clips:
                found[clip.number] = look(clip, corpus.clip(clip.number))
                shown.advance(clip.shape[0])
            return [found[k] for k in range(len(corpus))]
        for chunk in parallel.each(Work(look), clips, parallel.processes()):
            for clip, result in chunk:
                if isinstance(result, parallel.Died):
                    raise RuntimeError(f"{label}: video {corpus.ids[clip.number]}: {result}")
                found[clip.number] = result
            shown.advance(sum(clip.shape[0] for clip, _ in chunk))
    return [found[k] for k in range(len(corpus))]


def _clip(corpus: Videos, k: int) -> Clip:
    shard, offset = (int(x) for x in corpus.where[k])
    shots = [(int(start), int(stop)) for start, stop in corpus.shots[k]]
    shape = (int(corpus.counts[k]), int(corpus.sizes[k, 0]), int(corpus.sizes[k, 1]), 3)
    stored = corpus.shards[shard]
    file = str(stored.filename) if isinstance(stored, np.memmap) else ""
    return Clip(k, zlib.crc32(corpus.ids[k].encode()), float(corpus.fps[k]), shots, shape, file, offset)


@dataclass(frozen=True)
class LookForTuples:
    """Motion and tuples of one video: the settings are those of `frame_order.build`."""

    tuples: int
    span_max: float
    gap_min: float
    similar: float
    seed: int

    def __call__(
        self, clip: Clip, frames: Frames
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        moved = motion.motion(frames, clip.fps, clip.shots)
        rule = tuples.Rule.of(clip.fps, span_max=self.span_max, gap_min=self.gap_min, similar=self.similar)
        rng = np.random.default_rng([self.seed, clip.key])
        return moved, *tuples.mine(frames, moved, clip.shots, rule, self.tuples, rng)


@dataclass(frozen=True)
class LookForTracks:
    """Tracks of one video and their first and last patches, (n, 2, side, side, 3)."""

    rule: tracks.Rule
    side: int

    def __call__(self, clip: Clip, frames: Frames) -> tuple[list[tracks.Track], Frames]:
        found = tracks.mine(frames, clip.fps, clip.shots, self.rule)
        cut = [tracks.patches(frames, each, self.side) for each in found]
        return found, np.stack(cut) if cut else np.empty((0, 2, self.side, self.side, 3), np.uint8)
