"""A source of frames, opened: a video file, or a folder of numbered pictures, with the masks and joints beside it."""

import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalities.video.reading.decode import Header, header, read
from modalities.video.reading.reasons import Reason, Refused
from modalities.video.reading.sampling import Grid, grid
from modalities.video.reading.sources import Joint, Reader, Video

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rule:
    """What is kept of every video: keys of video.ingest."""

    fps: float
    short_side: int
    min_seconds: float
    max_seconds: float
    shot_threshold: float


class Packed(NamedTuple):
    """A mask, deflated."""

    data: bytes
    height: int
    width: int


class Wanted:
    """The numbers of the frames that are kept. Readers ask about every frame, so it knows how far they came."""

    def __init__(self, kept: NDArray[np.int64]) -> None:
        self.kept = set(kept.tolist())
        self.last = -1

    def __contains__(self, number: object) -> bool:
        if isinstance(number, int):
            self.last = max(self.last, number)
        return number in self.kept


class Opened(NamedTuple):
    """A source whose frames are about to be read."""

    id: str
    frames: Iterator[tuple[int, Pixels]]  # source number and pixels, upright, for the numbers of `grid.kept`
    grid: Grid
    header: Header
    decoded: "Wanted"
    masks: dict[int, Packed]  # by source number
    joints: tuple[Joint, ...]


def video_file(path: Path, rule: Rule, reader: Reader | None = None, video: Video | None = None) -> Opened:
    """Raises Refused for what can be seen to hold no video before anything is decoded."""
    try:
        with path.open("rb") as stream:
            name = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        found = header(path)
    except OSError as error:
        raise Refused(Reason.UNREADABLE, error.strerror or str(error)) from None
    kept = grid(found.times, rule.fps, rule.max_seconds)
    masks = _masks(reader, video, kept) if reader and video else {}
    wanted = Wanted(kept.kept)
    return Opened(
        name, read(path, wanted, found.clock), kept, found, wanted, masks, video.joints if video else ()
    )


def sequence(reader: Reader, video: Video, rule: Rule) -> Opened:
    """Numbered pictures: nothing says how fast they were taken, so each is one frame."""
    numbers = [number for number, _ in video.key]
    times = np.arange(len(numbers)) / rule.fps
    kept = grid(times, rule.fps, rule.max_seconds)
    name = hashlib.sha256()
    for _, key in video.key:
        name.update(reader.bytes(key))
    masks = {k: video.masks[number] for k, number in enumerate(numbers) if number in video.masks}
    places = {number: k for k, number in enumerate(numbers)}
    joints = tuple(
        joint._replace(frame=places[joint.frame]) for joint in video.joints if joint.frame in places
    )
    found = Header(times, "none", len(numbers), 1.0, 0, 0)
    frames = ((k, _picture(reader.bytes(video.key[k][1]))) for k in kept.kept.tolist())
    packed = _masks(reader, Video(None, masks), kept)
    return Opened(name.hexdigest()[:16], frames, kept, found, Wanted(kept.kept), packed, joints)


def _picture(data: bytes) -> Pixels:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # whatever a decoder raises costs one video
        raise Refused(Reason.UNREADABLE, f"a frame: {' '.join(str(error).split())}") from None


def _masks(reader: Reader, video: Video, kept: Grid) -> dict[int, Packed]:
    wanted = set(kept.kept.tolist()) & video.masks.keys()
    return {number: mask(reader.bytes(video.masks[number])) for number in sorted(wanted)}


def mask(data: bytes) -> Packed:
    """Object numbers from a PNG: its palette's indices, or grey values; where some are above 127, all above are 1."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            indexed = image.mode in ("P", "L", "1")
            values = np.asarray(image if image.mode in ("P", "L") else image.convert("L"), np.uint8)
    except Exception as error:  # whatever a decoder raises costs one video
        raise Refused(Reason.UNREADABLE, f"a mask: {' '.join(str(error).split())}") from None
    if not indexed or (image.mode != "P" and values.max(initial=0) > 127):
        values = (values > 127).astype(np.uint8)
    return pack(values)


def pack(values: Pixels) -> Packed:
    return Packed(zlib.compress(np.ascontiguousarray(values).tobytes(), 6), *values.shape)
