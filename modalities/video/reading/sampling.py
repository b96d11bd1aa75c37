"""From the frames of a file to those of the corpus: evenly spaced in time, small, and cut into shots."""

import hashlib
from collections.abc import Iterable, Iterator
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Index = NDArray[np.int64]

BINS = 16  # of each of hue, saturation and value
# The bin of each value of each of the three, of hue 0 to 179 and the others 0 to 255: (1, 256, 3).
BIN = np.stack([np.arange(256) * BINS // end + k * BINS for k, end in enumerate((180, 256, 256))], 1)[
    None
].astype(np.uint8)
TOLERANCE = 1e-3  # seconds by which a frame may be late and still be the one on show
VARIABLE = 0.1  # of the median, between the longest and the shortest time of a frame
HASHED = 5  # frames of a video that its near duplicates are found by

cv2.setNumThreads(1)  # ingest already runs one process a core


class Grid(NamedTuple):
    """Which frames of a source are kept, and how far apart they lie."""

    kept: Index  # (K,), numbers of source frames, not decreasing
    fps: float  # at most what was asked for; a slower source keeps its own rate
    rate: float  # of the source, on average
    seconds: float  # how long the source lasts, its last frame as long as the others
    variable: bool


def grid(times: Floats, fps: float, most: float) -> Grid:
    """For k = 0, 1, ...: the last frame whose time is at most k / fps; the first `most` seconds of it.

    `times` (n,) increase from 0. Real times, never a ratio of rates: gaps stay gaps.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 1 / fps
    rate = (len(times) - 1) / float(times[-1]) if len(steps) else fps
    mine = min(fps, rate)
    if abs(mine - fps) < 1e-3 * fps:
        mine = fps
    asked = np.arange(int(min(float(times[-1]) + usual - TOLERANCE, most) * mine) + 1) / mine
    asked = asked[asked <= times[-1] + usual - TOLERANCE]
    kept = np.searchsorted(times, asked + TOLERANCE, side="right") - 1
    variable = bool(len(steps)) and float(steps.max() - steps.min()) > VARIABLE * usual
    return Grid(kept.astype(np.int64), mine, rate, float(times[-1]) + usual, variable)


def shown(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width of a stored frame: the shorter side at most `short`, nothing enlarged."""
    scale = min(1.0, short / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def small(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) at this height and width, by the average over the area of each new pixel.

    Nearly so: bilinear to a whole multiple of the size, at least twice it and off by less than half, then the mean of
    whole blocks. cv2's average over exact areas takes twice the time, and was the most that ingest did but decoding.
    """
    pixels = np.ascontiguousarray(pixels)
    if pixels.shape[:2] == size:
        return pixels
    tall, wide = (n * max(2, ceil(have / n / 2)) for n, have in zip(size, pixels.shape[:2], strict=True))
    between = cv2.resize(pixels, (wide, tall), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(between, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def histogram(pixels: Pixels) -> NDArray[np.float32]:
    """(48,) shares, in sum 1, of 16 bins each of hue, saturation and value; of every fourth pixel each way."""
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels[::4, ::4]), cv2.COLOR_RGB2HSV)
    counts = np.bincount(cv2.LUT(hsv, BIN).ravel(), minlength=3 * BINS)
    return np.asarray(counts / hsv.size, np.float32)


def difference_hash(pixels: Pixels) -> int:
    """64 bits: is each of 8 x 8 cells darker than the one to its right?"""
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


class Watched(NamedTuple):
    """What was seen of the frames of one video on their way."""

    digest: bytes  # SHA-256 of the pixels
    hashes: tuple[int, ...]  # of HASHED frames, evenly over it
    shots: tuple[tuple[int, int], ...]  # first frame, and one past the last
    repeats: int  # frames equal to the one before, of different source frames


class Watch:
    """Looks at frames as they are written."""

    def __init__(self, threshold: float, expected: int) -> None:
        self.threshold = threshold
        self.digest = hashlib.sha256()
        self.hashes = {
            expected * (2 * k + 1) // (2 * HASHED): 0 for k in range(HASHED)
        }  # 0: it broke off before
        self.cuts = [0]
        self.repeats = 0
        self.before: tuple[int, Pixels, NDArray[np.float32]] | None = None
        self.count = 0

    def over(self, frames: Iterable[tuple[int, Pixels]]) -> Iterator[Pixels]:
        """Pass frames (source number, pixels) on."""
        for number, pixels in frames:
            self.digest.update(pixels.data)
            histogram_ = histogram(pixels)
            if self.before is not None:
                last, same, shares = self.before
                apart = float(np.abs(histogram_ - shares).sum())
                self.repeats += apart == 0 and last != number and np.array_equal(same, pixels)
                if apart > self.threshold:
                    self.cuts.append(self.count)
            self.before = number, pixels, histogram_
            if self.count in self.hashes:
                self.hashes[self.count] = difference_hash(pixels)
            self.count += 1
            yield pixels

    def seen(self) -> Watched:
        hashes = (*self.hashes.values(), *[0] * HASHED)[:HASHED]  # very few frames have fewer places
        ends = [*self.cuts[1:], self.count]
        shots = tuple(zip(self.cuts, ends, strict=True))
        return Watched(self.digest.digest(), hashes, shots, self.repeats)
