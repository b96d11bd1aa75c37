"""The ways that pictograms go: where, how large and how turned in each of T frames, for every kind of motion."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KINDS = ("still", "pan", "fall", "bounce", "circle", "zoom", "spin", "shake")
SIDE = 0.34  # of a pictogram, in short sides of the frame, before it is drawn larger or smaller
GROWTH = 1.7  # of a zoom; what does not zoom is drawn at any size that a zoom passes through
REACH = 0.45  # from the middle of a pictogram to its edge, in its sides: its corners are empty
FAR = 0.45  # of the way that there is, at least, is gone


class Way(NamedTuple):
    """Coordinates are x, y in pixels of the frame, the middle of the first pixel at 0, 0."""

    centre: Floats  # (T, 2)
    side: Floats  # (T,), pixels
    angle: Floats  # (T,), radians, counter-clockwise
    ground: Floats  # (T, 2), by which the frame has moved over the ground


def draw(rng: np.random.Generator, kind: str, count: int, size: tuple[int, int]) -> Way:
    """A way of so many frames inside frames of this height and width. The pictogram is never cut off."""
    t = np.linspace(0, 1, count)
    usual = SIDE * min(size)
    side = np.full(count, usual * GROWTH ** rng.uniform(-0.5, 0.5))
    if kind == "zoom":
        side = usual * GROWTH ** (rng.choice([-1, 1]) * (t - 0.5))
    angle = np.full(count, rng.uniform(0, 2 * np.pi))
    if kind == "spin":
        angle = angle + rng.choice([-1, 1]) * rng.uniform(1.5, 3) * np.pi * t
    edge = REACH * side.max()
    low, room = np.full(2, edge), np.array(size[::-1]) - 1 - 2 * edge
    share = WAYS[kind](rng, t)  # (T, 2) of the room
    centre = low + share * room
    ground = np.zeros((count, 2))
    if kind == "pan":  # the camera moves; the pictogram stays where it is on the ground
        ground = centre[0] - centre
    return Way(centre, side, angle, ground)


def matrix(way: Way, t: int, drawn: int) -> Floats:
    """(2, 3): from pixels of a drawing of this side to those of frame t."""
    turn = _turn(way, t) * (way.side[t] / drawn)
    return np.column_stack([turn, way.centre[t] - turn @ np.full(2, (drawn - 1) / 2)])


def point(way: Way, t: int, at: tuple[float, float]) -> tuple[float, float]:
    """Where a point of the pictogram is in frame t; `at` is x, y from its middle, in its sides."""
    x, y = way.centre[t] + _turn(way, t) @ np.array(at) * way.side[t]
    return float(x), float(y)


def _turn(way: Way, t: int) -> Floats:
    cos, sin = np.cos(way.angle[t]), np.sin(way.angle[t])
    return np.array([[cos, sin], [-sin, cos]])  # y points down


def _still(rng: np.random.Generator, t: Floats) -> Floats:
    return np.tile(rng.random(2), (len(t), 1))


def _pan(rng: np.random.Generator, t: Floats) -> Floats:
    """Straight, across or down or both."""
    start, far = rng.random(2), rng.uniform(FAR, 1, 2)
    toward = np.where(start < 0.5, 1, -1) * np.maximum(1 - start, start) * far
    toward[rng.integers(2)] *= rng.random()
    return np.asarray(start + t[:, None] * toward)


def _fall(rng: np.random.Generator, t: Floats) -> Floats:
    """Ever faster, down to some height."""
    high, low = rng.uniform(0, 0.3), rng.uniform(0.8, 1)
    return np.stack([np.full_like(t, rng.random()), high + (low - high) * t**2], 1)


def _bounce(rng: np.random.Generator, t: Floats) -> Floats:
    """Two or three arcs over a floor, going sideways meanwhile."""
    arcs, floor, height = rng.uniform(2, 3), rng.uniform(0.8, 1), rng.uniform(FAR, 0.8)
    along = (rng.random() + arcs * t) % 1
    across = _pan(rng, t)[:, 0]
    return np.stack([across, floor - height * 4 * along * (1 - along)], 1)


def _circle(rng: np.random.Generator, t: Floats) -> Floats:
    radius = rng.uniform(0.25, 0.45, 2)
    middle = radius + rng.random(2) * (1 - 2 * radius)
    turned = 2 * np.pi * (rng.random() + rng.choice([-1, 1]) * rng.uniform(1, 1.5) * t)
    return np.asarray(middle + radius * np.stack([np.cos(turned), np.sin(turned)], 1))


def _shake(rng: np.random.Generator, t: Floats) -> Floats:
    """To and fro around a place, another way in each frame."""
    middle = rng.uniform(0.15, 0.85, 2)
    return np.asarray(middle + rng.uniform(-0.15, 0.15, (len(t), 2)))


WAYS: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
    "still": _still, "pan": _pan, "fall": _fall, "bounce": _bounce, "circle": _circle, "zoom": _still,
    "spin": _still, "shake": _shake,
}  # fmt: skip
