"""One video from its source to a scratch file of frames: what each process of ingest does."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalities.image.reading.sources import Item
from modalities.video.reading.decode import Header
from modalities.video.reading.opening import Opened, Packed, Rule, sequence, video_file
from modalities.video.reading.reasons import Reason, Refused
from modalities.video.reading.sampling import Grid, Watch, Watched, shown, small
from modalities.video.reading.sources import Joint, Reader, Rejection

Pixels = NDArray[np.uint8]

LEAST_SIDE = 32  # pixels
REPEATED = 0.5  # share of neighbours that are equal: decord pads a damaged end so
MEMORY = 2 << 30  # bytes that one file may take beyond what its process has already


class Taken(NamedTuple):
    """A video that was read and waits in its scratch file."""

    item: Item
    scratch: Path
    id: str
    seen: Watched
    frames: int
    size: tuple[int, int]
    original: tuple[int, int]
    grid: Grid
    clock: str
    turned: bool
    masks: dict[int, Packed]  # by stored frame
    joints: dict[int, list[Joint]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """What each process does with one (number, item)."""

    reader: Any  # a Reader, or what makes videos of its own
    scratch: Path
    rule: Rule

    def __call__(self, numbered: tuple[int, Item]) -> Taken | Rejection:
        number, item = numbered
        _bound_memory()
        try:
            if not isinstance(self.reader, Reader):
                taken: Taken = self.reader.take(item, self._out(number), self.rule)
                return taken
            if isinstance(item.key.key, tuple):
                return take(item, sequence(self.reader, item.key, self.rule), self._out(number), self.rule)
            with self.reader.path(item.key.key, self.scratch) as path:
                return take(
                    item, video_file(path, self.rule, self.reader, item.key), self._out(number), self.rule
                )
        except Refused as why:
            return Rejection(item.name, why.reason, why.detail)
        except MemoryError:
            return Rejection(item.name, Reason.TOO_LARGE, "it does not fit in memory")

    def _out(self, number: int) -> Path:
        return self.scratch / f"{number}.u8"


def _bound_memory() -> None:
    """A file that eats memory then fails by itself, and not the machine."""
    with suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def take(item: Item, opened: Opened, scratch: Path, rule: Rule) -> Taken:
    """Write the frames of one video to a file of its own. Raises Refused where it is none for the corpus."""
    kept, announced = opened.grid.kept, opened.header.announced
    if opened.grid.seconds < rule.min_seconds:
        frames = f"{announced} frame{'s' * (announced != 1)}"
        raise Refused(
            Reason.TOO_SHORT, f"{frames}, {opened.grid.seconds:.2f} s of at least {rule.min_seconds:g}"
        )
    watch, shapes = Watch(rule.shot_threshold, len(kept)), Shapes(opened.header, rule.short_side)
    with scratch.open("wb") as out:
        for pixels in watch.over(_repeated(opened.frames, kept, shapes)):
            out.write(pixels.data)
    numbers = kept[: watch.count]
    if not watch.count or watch.count / opened.grid.fps < rule.min_seconds:
        got = opened.decoded.last + 1
        raise Refused(Reason.TOO_SHORT, f"{got} of {announced} frames could be read")
    if watch.repeats > REPEATED * (len(np.unique(numbers)) - 1):
        raise Refused(Reason.REPEATS, f"{watch.repeats} of {watch.count} frames are equal to the one before")
    return Taken(
        item, scratch, opened.id, watch.seen(), watch.count, shapes.size, shapes.original, opened.grid,
        opened.header.clock, shapes.turned,
        {k: opened.masks[n] for k, n in enumerate(numbers.tolist()) if n in opened.masks},
        _by_stored(opened.joints, numbers),
        tuple(_notes(opened, numbers)),
    )  # fmt: skip


class Shapes:
    """What shape frames come out in, settled by the first of them and not by the header, and are stored in."""

    def __init__(self, header: Header, short_side: int) -> None:
        self.header, self.short_side = header, short_side
        self.original, self.size, self.turned = (0, 0), (0, 0), False

    def small(self, pixels: Pixels) -> Pixels:
        """Raises Refused where frames are too small to be of use."""
        if self.size == (0, 0):
            height, width = pixels.shape[:2]
            coded = self.header.height, self.header.width
            self.turned = coded[0] != coded[1] and (width, height) == coded
            aspect = 1 / self.header.aspect if self.turned else self.header.aspect
            self.original = round(height * max(1, 1 / aspect)), round(width * max(1, aspect))
            if min(self.original) < LEAST_SIDE:
                size = f"{self.original[1]}x{self.original[0]}"
                raise Refused(Reason.TOO_SMALL, f"{size}: the shorter side is under {LEAST_SIDE} pixels")
            self.size = shown(*self.original, self.short_side)
        return small(pixels, self.size)


def _repeated(
    frames: Iterator[tuple[int, Pixels]], kept: NDArray[np.int64], shapes: Shapes
) -> Iterator[tuple[int, Pixels]]:
    """Each frame as often as `kept` names it: a pause shows one several times."""
    waiting = kept.tolist()[::-1]
    for number, pixels in frames:
        made = shapes.small(pixels)
        while waiting and waiting[-1] == number:
            waiting.pop()
            yield number, made
        if not waiting:
            return


def _notes(opened: Opened, numbers: NDArray[np.int64]) -> Iterator[str]:
    found, fps = opened.header, opened.grid.fps
    if len(numbers) < len(opened.grid.kept) or len(found.times) < found.announced:
        yield f"damaged: {opened.decoded.last + 1} of {found.announced} frames were read"
    elif opened.grid.seconds > len(numbers) / fps + 1:
        yield f"cut after {len(numbers) / fps:.0f} s"
    if found.clock == "rate":
        yield "no usable timestamps, so times follow from the rate that it states"
    if opened.grid.variable:
        yield "variable frame rate"
    if found.aspect != 1:
        yield "pixels that are not square, made so"


def _by_stored(joints: tuple[Joint, ...], numbers: NDArray[np.int64]) -> dict[int, list[Joint]]:
    by_source: dict[int, list[Joint]] = {}
    for joint in joints:
        by_source.setdefault(joint.frame, []).append(joint)
    return {k: by_source[n] for k, n in enumerate(numbers.tolist()) if n in by_source}
