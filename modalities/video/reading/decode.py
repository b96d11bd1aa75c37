"""One video file: every frame with its time, from the first on.

decord reads; PyAV where decord cannot open or read a file, or does not know its times; Pillow where it is an animation
that neither knows. Frames are only ever asked for one after another: random access returns wrong frames on messy
timestamps (decord issues 54, 77, 91). The content decides what a file is, never its name. Frames come out upright.
"""

import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalities.video.reading.reasons import Reason, Refused

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Frame = tuple[int, Pixels]  # its number, and (H, W, 3) RGB

# decord asks a damaged stream so often for its end before it gives up; at its own 10,240 it seems to hang.
os.environ.setdefault("DECORD_EOF_RETRY_MAX", "64")
os.environ.setdefault("DECORD_LOG_LEVEL", "3")
ANIMATIONS = (b"GIF8", b"RIFF", b"\x89PNG")  # how files begin that Pillow may know better
MOST_PIXELS = 100_000_000  # of one frame; 8K has a third of them
USUAL_RATE = 25.0  # of a file that says nothing of it


class Header(NamedTuple):
    """What a file says of itself before anything is decoded."""

    times: Floats  # (n,), seconds after the first frame, increasing
    clock: str  # timestamps, or rate where there are none to be trusted
    announced: int  # frames that it says it has; n where it does not say
    aspect: float  # width of a pixel over its height, before any turning
    width: int  # pixels, before any turning
    height: int


def header(path: Path) -> Header:
    """Reads the packets of a file, which takes a small part of the time that decoding does. Raises Refused."""
    if not path.stat().st_size:
        raise Refused(Reason.EMPTY, "0 bytes")
    found = _demuxed(path)
    if found is None and _may_be_animation(path):
        found = _animated(path)
    if found is None:
        with path.open("rb") as stream:
            raise Refused(Reason.UNREADABLE, f"begins with {ascii(stream.read(16))[1:]}")
    return found


def _demuxed(path: Path) -> Header | None:
    import av

    try:
        with av.open(str(path)) as opened:
            if not opened.streams.video:
                kinds = ", ".join(sorted({stream.type for stream in opened.streams})) or "nothing"
                raise Refused(Reason.NO_VIDEO, f"it holds {kinds}")
            stream = opened.streams.video[0]
            if stream.width * stream.height > MOST_PIXELS:
                size = f"{stream.width}x{stream.height}"
                raise Refused(Reason.TOO_LARGE, f"{size} exceeds the limit of {MOST_PIXELS:,} pixels")
            stamps = []
            try:
                for packet in opened.demux(stream):
                    if packet.size:
                        stamps.append(packet.pts if packet.pts is not None else packet.dts)
            except av.FFmpegError:  # a damaged end; what comes before it may do
                pass
            if not stamps or (_may_be_animation(path) and stream.width == 0):
                return None
            aspect = float(stream.sample_aspect_ratio or 1)
            rate = float(stream.guessed_rate or stream.average_rate or USUAL_RATE)
            times, clock = _clock(stamps, float(stream.time_base or 0), rate)
            shape = stream.width, stream.height
            return Header(times, clock, stream.frames or len(times), aspect if aspect > 0 else 1.0, *shape)
    except av.FFmpegError:
        return None


def _clock(stamps: list[int | None], unit: float, rate: float) -> tuple[Floats, str]:
    """Packets come in the order of decoding, frames in that of their times: so sorted. Repeats make times useless."""
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(known) == len(stamps) == len(set(known)) and unit > 0:
        return (np.array(known, np.float64) - known[0]) * unit, "timestamps"
    return np.arange(len(stamps)) / rate, "rate"


def _may_be_animation(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4).startswith(ANIMATIONS)


def _animated(path: Path) -> Header | None:
    from PIL import Image

    try:
        with Image.open(path, formats=("GIF", "WEBP", "PNG")) as image:
            lasts = []
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()  # WebP knows a duration only then
                lasts.append(
                    (image.info.get("duration", 100) or 100) / 1000
                )  # 0 is shown as 0.1 s by browsers
    except (OSError, ValueError, EOFError):
        return None
    times = np.cumsum([0.0, *lasts[:-1]])
    return Header(times, "timestamps", len(times), 1.0, *image.size)


def decode(path: Path) -> Iterator[tuple[float, Pixels]]:
    """(seconds after the first, frame (H, W, 3)) of every frame, upright. Raises Refused where there is none."""
    found = header(path)
    for number, pixels in read(path, range(found.announced + len(found.times)), found.clock):
        beyond = number - len(found.times) + 1
        seconds = found.times[min(number, len(found.times) - 1)] + max(beyond, 0) / USUAL_RATE
        yield float(seconds), pixels


def read(path: Path, wanted: Container[int], clock: str) -> Iterator[Frame]:
    """The frames of these numbers, in order; others are decoded and dropped. `clock` is that of the header.

    Raises Refused where no reader gets any frame; a damaged end just ends it.
    """
    begun, failures = 0, []
    for reader in (decord, pyav, animation):
        if (reader is animation and not _may_be_animation(path)) or (reader is decord and clock == "rate"):
            continue
        try:
            for number, pixels in reader(path, wanted):
                if number >= begun:  # those before came from a reader that then failed
                    begun = number + 1
                    yield number, pixels
            return
        except ImportError:  # decord has no wheels for all machines
            continue
        except MemoryError:
            raise Refused(Reason.TOO_LARGE, "it does not fit in memory") from None
        except Exception as error:  # readers have no one class for what can be wrong with a file
            failures.append(f"{reader.__name__}: {_said(error)}")
    if not begun:
        raise Refused(Reason.UNREADABLE, "; ".join(failures))


def _said(error: Exception) -> str:
    """What a reader complained of, without the C++ stack and the path that decord adds."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line.rpartition(".cc:")[2].partition(": ")[2].partition(" [/")[0] or line.partition(": '/")[0]


def decord(path: Path, wanted: Container[int]) -> Iterator[Frame]:
    """Its CPU reader turns frames as the display matrix says. Raises ValueError for what it is known to read wrongly.

    Where times repeat it drops frames at the start and repeats the last one instead.
    """
    import decord as library

    reader = library.VideoReader(str(path), ctx=library.cpu(0), num_threads=1)
    times = np.asarray(reader.get_frame_timestamp(range(len(reader))))[:, 0]
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("times repeat")
    for number in range(len(reader)):
        frame = reader.next()
        if frame.shape[2] != 3:  # it takes padding of lines for a channel, at widths of 48 and 72 pixels
            raise ValueError(f"{frame.shape[2]} channels")
        if number in wanted:
            yield number, frame.asnumpy()


def pyav(path: Path, wanted: Container[int]) -> Iterator[Frame]:
    """It reports the display matrix and leaves the turning to us."""
    import av
    from av.video.reformatter import VideoReformatter

    colours = VideoReformatter()  # one for all frames: each frame's own makes its tables anew
    with av.open(str(path)) as opened:
        for number, frame in enumerate(opened.decode(opened.streams.video[0])):
            if number in wanted:
                made = colours.reformat(frame, format="rgb24")
                yield number, np.rot90(made.to_ndarray(), round(frame.rotation / 90))


def animation(path: Path, wanted: Container[int]) -> Iterator[Frame]:
    """GIF, WebP and PNG; what is transparent is laid on white."""
    from PIL import Image

    with Image.open(path, formats=("GIF", "WEBP", "PNG")) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frame = image.convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", frame.size, (255,) * 4), frame).convert("RGB")
            if number in wanted:
                yield number, np.asarray(flat)
