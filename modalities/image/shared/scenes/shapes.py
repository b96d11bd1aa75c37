"""Where a ray first meets a shape, and the shape's normal there: compiled, one ray at a time.

A ray is o + t v, both in the shape's own frame; `v` has no length of its own, so t is the same in every frame. Shapes
lie around the origin, y is their axis: a rectangle at y = 0 with half sides a and c (infinite: a plane), a sphere of
radius a, a box of half sides a, b, c, a capped cylinder of radius a and half height b, and a superquadric,
F = (|x/a|^(2/e2) + |z/c|^(2/e2))^(e2/e1) + |y/b|^(2/e1) - 1 (Barr 1981), which lies within its box.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RECTANGLE, SPHERE, BOX, CYLINDER, SUPERQUADRIC = range(5)
NAMES = ("rectangle", "sphere", "box", "cylinder", "superquadric")
# Columns of what describes a shape in a scene: its centre, its frame row by row (world = R own), a, b, c, e1, e2.
CENTRE, FRAME, SIZE, ROUNDNESS, COLUMNS = 0, 3, 12, 15, 17
STEPS, BISECTIONS = 64, 12  # along a ray through a superquadric's box

compiled: Any = njit(cache=True, nogil=True, error_model="numpy")


@compiled  # type: ignore[untyped-decorator]
def _rectangle(oy: float, vy: float, ox: float, vx: float, oz: float, vz: float, a: float, c: float) -> float:
    if vy == 0.0:
        return math.inf
    t = -oy / vy
    return t if abs(ox + t * vx) <= a and abs(oz + t * vz) <= c else math.inf


@compiled  # type: ignore[untyped-decorator]
def _first(one: float, two: float, near: float) -> float:
    """The smaller of two that lies beyond `near`."""
    low, high = min(one, two), max(one, two)
    return low if low > near else (high if high > near else math.inf)


@compiled  # type: ignore[untyped-decorator]
def _round(aa: float, bb: float, cc: float) -> tuple[float, float]:
    """Both roots of aa t² + 2 bb t + cc, infinite where there are none."""
    inside = bb * bb - aa * cc
    if inside < 0.0 or aa == 0.0:
        return math.inf, math.inf
    root = math.sqrt(inside)
    return (-bb - root) / aa, (-bb + root) / aa


@compiled  # type: ignore[untyped-decorator]
def _slab(o: float, v: float, a: float, low: float, high: float) -> tuple[float, float]:
    """What of (low, high) lies between -a and a."""
    if v == 0.0:
        return (low, high) if abs(o) <= a else (math.inf, -math.inf)
    one, two = (-a - o) / v, (a - o) / v
    return max(low, min(one, two)), min(high, max(one, two))


@compiled  # type: ignore[untyped-decorator]
def _cylinder(
    ox: float, oy: float, oz: float, vx: float, vy: float, vz: float, a: float, b: float, near: float
) -> float:
    found = math.inf
    for t in _round(vx * vx + vz * vz, ox * vx + oz * vz, ox * ox + oz * oz - a * a):
        if near < t < found and abs(oy + t * vy) <= b:
            found = t
    if vy != 0.0:
        for end in (-b, b):  # two discs
            t = (end - oy) / vy
            x, z = ox + t * vx, oz + t * vz
            if near < t < found and x * x + z * z <= a * a:
                found = t
    return found


@compiled  # type: ignore[untyped-decorator]
def field(x: float, y: float, z: float, a: float, b: float, c: float, e1: float, e2: float) -> float:
    """F of a superquadric: below 0 inside."""
    around = abs(x / a) ** (2.0 / e2) + abs(z / c) ** (2.0 / e2)
    return float(around ** (e2 / e1) + abs(y / b) ** (2.0 / e1) - 1.0)


@compiled  # type: ignore[untyped-decorator]
def _superquadric(
    ox: float, oy: float, oz: float, vx: float, vy: float, vz: float,
    a: float, b: float, c: float, e1: float, e2: float, low: float, high: float,
) -> float:  # fmt: skip
    """The first place between low and high where F turns negative: by steps, then by halving."""
    step = (high - low) / STEPS
    for k in range(1, STEPS + 1):
        t = low + k * step
        if field(ox + t * vx, oy + t * vy, oz + t * vz, a, b, c, e1, e2) <= 0.0:
            outside, inside = t - step, t
            for _ in range(BISECTIONS):
                t = 0.5 * (outside + inside)
                if field(ox + t * vx, oy + t * vy, oz + t * vz, a, b, c, e1, e2) <= 0.0:
                    inside = t
                else:
                    outside = t
            return 0.5 * (outside + inside)
    return math.inf


@compiled  # type: ignore[untyped-decorator]
def meet(
    kind: int, ox: float, oy: float, oz: float, vx: float, vy: float, vz: float,
    a: float, b: float, c: float, e1: float, e2: float, near: float,
) -> float:  # fmt: skip
    """The smallest t beyond `near`, infinite where the ray passes by."""
    if kind == RECTANGLE:
        t = _rectangle(oy, vy, ox, vx, oz, vz, a, c)
        return t if t > near else math.inf
    if kind == SPHERE:
        one, two = _round(
            vx * vx + vy * vy + vz * vz, ox * vx + oy * vy + oz * vz, ox * ox + oy * oy + oz * oz - a * a
        )
        return float(_first(one, two, near))
    if kind == CYLINDER:
        return float(_cylinder(ox, oy, oz, vx, vy, vz, a, b, near))
    low, high = _slab(ox, vx, a, -math.inf, math.inf)
    low, high = _slab(oy, vy, b, low, high)
    low, high = _slab(oz, vz, c, low, high)
    if low > high or high <= near:
        return math.inf
    if kind == BOX:
        return float(low if low > near else high)
    return float(_superquadric(ox, oy, oz, vx, vy, vz, a, b, c, e1, e2, max(low, near), high))


@compiled  # type: ignore[untyped-decorator]
def normal(
    kind: int, x: float, y: float, z: float, a: float, b: float, c: float, e1: float, e2: float
) -> tuple[float, float, float]:
    """The unit normal at a point of the surface, outwards, in the shape's frame."""
    if kind == RECTANGLE:
        return 0.0, 1.0, 0.0
    if kind == SPHERE:
        return x / a, y / a, z / a
    if kind == BOX:
        rx, ry, rz = abs(x) / a, abs(y) / b, abs(z) / c
        if rx >= ry and rx >= rz:
            return math.copysign(1.0, x), 0.0, 0.0
        if ry >= rz:
            return 0.0, math.copysign(1.0, y), 0.0
        return 0.0, 0.0, math.copysign(1.0, z)
    if kind == CYLINDER:
        radius = math.sqrt(x * x + z * z)
        if b - abs(y) < a - radius:
            return 0.0, math.copysign(1.0, y), 0.0
        return x / radius, 0.0, z / radius
    around = max(abs(x / a) ** (2.0 / e2) + abs(z / c) ** (2.0 / e2), 1e-12) ** (e2 / e1 - 1.0)
    gx = around * abs(x / a) ** (2.0 / e2 - 1.0) * math.copysign(1.0 / a, x)
    gy = abs(y / b) ** (2.0 / e1 - 1.0) * math.copysign(1.0 / b, y)
    gz = around * abs(z / c) ** (2.0 / e2 - 1.0) * math.copysign(1.0 / c, z)
    length = math.sqrt(gx * gx + gy * gy + gz * gz)
    return gx / length, gy / length, gz / length
