"""The compiled half of augmentation: from uint8 rows of a shard to a float batch, one sample at a time.

Crop and resize as Pillow and torch do (bicubic with a = -0.5, antialiased, and nothing outside the box is read),
then colour, one clamp, blur and solarise. A sample is worked on by one thread from start to end and touches no
other, so the bytes do not depend on how many threads there are.

The functions release the GIL and `augment.render` calls them from plain threads. numba's own `parallel=True` was
left out on purpose: its OpenMP layer aborts in a forked child and its threads spin after every call beside torch's,
and its workqueue layer must not be entered by two threads at once, as a batch drawn ahead of training does.
Compiled code is cached beside this file, so a machine compiles once and not every stage anew.

M rows of parameters, S side in pixels. A line is one row of pixels, its three channels side by side.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

RED, GREEN, BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # of luma, ITU-R BT.601
SUPPORT = 2.0  # of the cubic, in pixels of the coarser of the two grids
U = np.uintp  # an index known not to be negative saves a test for every element

# No "reassoc": given it, LLVM vectorises along the few taps of a pixel rather than along the many pixels.
compiled: Any = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})


@compiled  # type: ignore[untyped-decorator]
def _cubic(x: float) -> float:
    x = abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return near if x < 1.0 else (far if x < SUPPORT else 0.0)


@compiled  # type: ignore[untyped-decorator]
def _weigh(length: int, flip: bool, first: Integers, weights: Floats, share: Floats) -> int:
    """Weights that resample `length` pixels to S: output x reads first[x] .. first[x] + taps - 1.

    share (length): what each input pixel weighs in the mean of the output.
    """
    side = len(first)
    scale = length / side
    stretch = max(scale, 1.0)
    taps = min(int(np.ceil(2 * SUPPORT * stretch)), length)
    share[:length] = 0
    for x in range(side):
        centre = (x + 0.5) * scale
        start = int(np.floor(centre - SUPPORT * stretch - 0.5)) + 1
        start = min(max(start, 0), length - taps)
        place = side - 1 - x if flip else x
        first[place] = start
        total = 0.0
        for k in range(taps):
            weight = _cubic((start + k + 0.5 - centre) / stretch)
            weights[place, k] = weight
            total += weight
        for k in range(taps):
            weights[place, k] /= total
            share[start + k] += weights[place, k] / side
    return taps


@compiled  # type: ignore[untyped-decorator]
def _reflected(place: int, length: int) -> int:
    """Where a pixel outside the picture is read: mirrored at the middle of the border pixel."""
    place = abs(place)
    return 2 * (length - 1) - place if place >= length else place


@compiled  # type: ignore[untyped-decorator]
def _load(pixels: NDArray[np.uint8], left: int, width: int, line: Floats) -> None:
    """One line of the box as floats of 0 .. 255."""
    source = len(pixels) // 3
    if left >= 0 and left + width <= source:
        for j in range(3 * width):
            line[j] = np.float32(pixels[U(3 * left + j)])
        return
    for x in range(width):
        place = 3 * _reflected(left + x, source)
        for channel in range(3):
            line[3 * x + channel] = np.float32(pixels[place + channel])


@compiled  # type: ignore[untyped-decorator]
def _down(lines: Floats, weights: Floats, taps: int, out: Floats) -> None:
    """A weighted sum of the first `taps` lines, four at a time so that `out` is seldom read back."""
    width = len(out)
    odd = taps % 4
    if odd == 0:
        for j in range(width):
            out[j] = 0
    elif odd == 1:
        for j in range(width):
            out[j] = weights[0] * lines[0, j]
    elif odd == 2:
        for j in range(width):
            out[j] = weights[0] * lines[0, j] + weights[1] * lines[1, j]
    elif odd == 3:
        for j in range(width):
            out[j] = weights[0] * lines[0, j] + weights[1] * lines[1, j] + weights[2] * lines[2, j]
    for k in range(odd, taps, 4):
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for j in range(width):
            out[j] += a * lines[k, j] + b * lines[k + 1, j] + c * lines[k + 2, j] + d * lines[k + 3, j]


@compiled  # type: ignore[untyped-decorator]
def _along(line: Floats, first: Integers, weights: Floats, taps: int, out: Floats) -> None:
    """Resample one line (3 W), pixel after pixel, to (3 S), channel after channel."""
    side = U(len(first))
    for x in range(side):
        j = U(3) * U(first[x])
        red, green, blue = np.float32(0), np.float32(0), np.float32(0)
        for k in range(U(taps)):
            weight = weights[x, k]
            red += weight * line[j]
            green += weight * line[j + U(1)]
            blue += weight * line[j + U(2)]
            j += U(3)
        out[x] = red
        out[side + x] = green
        out[side + side + x] = blue


@compiled  # type: ignore[untyped-decorator]
def _paint(line: Floats, matrix: Floats, y: int, out: Floats) -> None:
    """Line y of the result: colour by one (3, 4) matrix, clamped to [0, 1]."""
    side = out.shape[2]
    for channel in range(3):
        a, b, c, d = matrix[channel]
        for x in range(side):
            value = a * line[x] + b * line[side + x] + c * line[2 * side + x] + d
            value = np.float32(0) if value < 0 else value
            out[channel, y, x] = np.float32(1) if value > 1 else value


@compiled  # type: ignore[untyped-decorator]
def _compose(colour: Floats, total: Floats, share: Floats, matrix: Floats) -> None:
    """From stored 0 .. 255 to painted 0 .. 1. The last column is per mean luma, which is known only here."""
    mean = np.float32(0)
    for x in range(len(share)):
        luma = RED * total[3 * x] + GREEN * total[3 * x + 1] + BLUE * total[3 * x + 2]
        mean += share[x] * luma
    for channel in range(3):
        for k in range(3):
            matrix[channel, k] = colour[channel, k] / np.float32(255)
        matrix[channel, 3] = colour[channel, 3] * mean / np.float32(255)


@compiled  # type: ignore[untyped-decorator]
def _slide(line: Floats, weights: Floats, out: Floats) -> None:
    """A symmetric weighted sum of shifts of one padded line; weights from the middle outwards."""
    width = len(out)
    radius = len(weights) - 1
    centre = line[radius:]
    for j in range(width):
        out[j] = weights[0] * centre[j]
    for k in range(1, radius + 1):
        weight, before, after = weights[k], line[radius - k :], line[radius + k :]
        for j in range(width):
            out[j] += weight * (before[j] + after[j])


@compiled  # type: ignore[untyped-decorator]
def _blur(plane: Floats, sigma: float, radius: int, rows: Floats, line: Floats) -> None:
    """Gaussian blur of one channel in place, borders reflected. Past 4 sigma weights are nothing and left out."""
    side = plane.shape[0]
    radius = min(radius, int(4 * sigma + 0.5))
    weights = np.empty(2 * radius + 1, np.float32)
    for k in range(2 * radius + 1):
        weights[k] = np.exp(-0.5 * ((k - radius) / sigma) ** 2)
    weights /= weights.sum()
    for y in range(side + 2 * radius):
        inside = plane[_reflected(y - radius, side)]
        for x in range(side):
            rows[y, x] = inside[x]
    for y in range(side):
        _down(rows[y:], weights, 2 * radius + 1, line[radius : radius + side])
        for k in range(1, radius + 1):
            line[radius - k] = line[radius + k]
            line[radius + side - 1 + k] = line[radius + side - 1 - k]
        _slide(line, weights[radius:], plane[y])


@compiled  # type: ignore[untyped-decorator]
def _solarise(view: Floats) -> None:
    """Invert what is bright."""
    for channel in range(3):
        for y in range(view.shape[1]):
            for x in range(view.shape[2]):
                value = view[channel, y, x]
                view[channel, y, x] = np.float32(1) - value if value >= np.float32(0.5) else value


class Scratch(NamedTuple):
    """What one thread works on, made once for many samples: crops of up to h x w pixels."""

    first_x: Integers  # (S,)
    first_y: Integers
    weights_x: Floats  # (S, taps)
    weights_y: Floats
    share_x: Floats  # (w,)
    share_y: Floats  # (h,)
    lines: Floats  # (h, 3 w), the crop
    total: Floats  # (3 w,), its weighted sum from top to bottom
    narrow: Floats  # (3 w,), one line resampled downwards
    line: Floats  # (3 S,), and along
    matrix: Floats  # (3, 4)
    rows: Floats  # (S + 2 radius, S), a channel to be blurred
    padded: Floats  # (S + 2 radius,)


@compiled  # type: ignore[untyped-decorator]
def _scratch(side: int, tall: int, wide: int, radius: int) -> Scratch:
    taps = int(np.ceil(2 * SUPPORT * max(tall / side, wide / side, 1.0)))
    return Scratch(
        np.empty(side, np.int64),
        np.empty(side, np.int64),
        np.empty((side, taps), np.float32),
        np.empty((side, taps), np.float32),
        np.empty(wide, np.float32),
        np.empty(tall, np.float32),
        np.empty((tall, 3 * wide), np.float32),
        np.empty(3 * wide, np.float32),
        np.empty(3 * wide, np.float32),
        np.empty(3 * side, np.float32),
        np.empty((3, 4), np.float32),
        np.empty((side + 2 * radius, side), np.float32),
        np.empty(side + 2 * radius, np.float32),
    )


@compiled  # type: ignore[untyped-decorator]
def _crop(
    pixels: NDArray[np.uint8], box: Integers, flip: bool, colour: Floats, work: Scratch, view: Floats
) -> None:
    """Resize the box of one picture (H, W * 3) and colour it."""
    top, left, height, width = box
    taps_x = _weigh(width, flip, work.first_x, work.weights_x, work.share_x)
    taps_y = _weigh(height, False, work.first_y, work.weights_y, work.share_y)
    lines, total = work.lines, work.total
    total[:] = 0
    for y in range(height):
        line, weight = lines[y], work.share_y[y]
        _load(pixels[_reflected(top + y, len(pixels))], left, width, line)
        for j in range(3 * width):
            total[j] += weight * line[j]
    _compose(colour, total, work.share_x[:width], work.matrix)
    first_x, weights_x, matrix, resized = work.first_x, work.weights_x, work.matrix, work.line
    narrow = work.narrow[: 3 * width]
    for y in range(len(work.first_y)):
        _down(lines[work.first_y[y] :], work.weights_y[y], taps_y, narrow)
        _along(narrow, first_x, weights_x, taps_x, resized)
        _paint(resized, matrix, y, view)


@compiled  # type: ignore[untyped-decorator]
def render(
    stored: NDArray[np.uint8],
    starts: Integers,
    shapes: Integers,
    places: Integers,
    boxes: Integers,
    flips: NDArray[np.bool_],
    colour: Floats,
    blur: Floats,
    solarise: NDArray[np.bool_],
    out: Floats,
) -> None:
    """Write out[places[i]] from the picture of shapes[i], (H, W), at byte starts[i], by the parameters of that place.

    stored (bytes,), out (M, 3, S, S); parameters: see `augment.Draws`.
    """
    side = out.shape[2]
    radius = side // 20  # a kernel of S/10
    tall, wide = 1, 1
    for place in places:
        tall, wide = max(tall, boxes[place, 2]), max(wide, boxes[place, 3])
    work = _scratch(side, tall, wide, radius)
    for i in range(len(starts)):
        place, height, line = places[i], shapes[i, 0], 3 * shapes[i, 1]
        picture = stored[starts[i] : starts[i] + height * line].reshape((height, line))
        view = out[place]
        _crop(picture, boxes[place], flips[place], colour[place], work, view)
        if blur[place] > 0:
            for channel in range(3):
                _blur(view[channel], blur[place], radius, work.rows, work.padded)
        if solarise[place]:
            _solarise(view)
