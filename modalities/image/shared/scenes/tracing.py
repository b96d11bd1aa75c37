"""Rays through a scene: the nearest shape, and what is known of it at the middle of every pixel. Compiled.

Frames as in HHA: x right, y down, z forward, the camera at the origin; the world's y is along gravity. Rays of a pixel
have a z of 1 in the camera's frame, and no frame changes t: what is found is depth along the axis, not along the ray.
K shapes, S side in pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray

from modalities.image.shared.scenes.shapes import (
    CENTRE,
    CYLINDER,
    FRAME,
    RECTANGLE,
    ROUNDNESS,
    SIZE,
    SPHERE,
    Floats,
    Integers,
    compiled,
    meet,
    normal,
)

NEAR = 1e-3  # metres: nothing nearer is met, nor shades itself


@compiled  # type: ignore[untyped-decorator]
def _at(
    kind: int, shape: Floats, ox: float, oy: float, oz: float, vx: float, vy: float, vz: float, near: float
) -> float:
    """t of one shape, the ray in the world's frame."""
    dx, dy, dz = ox - shape[CENTRE], oy - shape[CENTRE + 1], oz - shape[CENTRE + 2]
    r = shape[FRAME:SIZE]
    t: float = meet(
        kind,
        r[0] * dx + r[3] * dy + r[6] * dz, r[1] * dx + r[4] * dy + r[7] * dz, r[2] * dx + r[5] * dy + r[8] * dz,
        r[0] * vx + r[3] * vy + r[6] * vz, r[1] * vx + r[4] * vy + r[7] * vz, r[2] * vx + r[5] * vy + r[8] * vz,
        shape[SIZE], shape[SIZE + 1], shape[SIZE + 2], shape[ROUNDNESS], shape[ROUNDNESS + 1], near,
    )  # fmt: skip
    return t


@compiled  # type: ignore[untyped-decorator]
def _passes(
    shape: Floats, radius: float, ox: float, oy: float, oz: float, vx: float, vy: float, vz: float
) -> bool:
    """Whether the ray misses the ball around a shape: a cheap first answer."""
    dx, dy, dz = shape[CENTRE] - ox, shape[CENTRE + 1] - oy, shape[CENTRE + 2] - oz
    along = dx * vx + dy * vy + dz * vz
    square = dx * dx + dy * dy + dz * dz
    length = vx * vx + vy * vy + vz * vz
    return bool(square * length - along * along > radius * radius * length)


@compiled  # type: ignore[untyped-decorator]
def nearest(
    kinds: Integers,
    shapes: Floats,
    radii: Floats,
    ox: float,
    oy: float,
    oz: float,
    vx: float,
    vy: float,
    vz: float,
) -> tuple[float, int]:
    """(t, which shape), or (infinity, -1)."""
    best, which = math.inf, -1
    for k in range(len(kinds)):
        if not _passes(shapes[k], radii[k], ox, oy, oz, vx, vy, vz):
            t = _at(kinds[k], shapes[k], ox, oy, oz, vx, vy, vz, NEAR)
            if t < best:
                best, which = t, k
    return best, which


@compiled  # type: ignore[untyped-decorator]
def shaded(
    kinds: Integers,
    shapes: Floats,
    radii: Floats,
    ox: float,
    oy: float,
    oz: float,
    vx: float,
    vy: float,
    vz: float,
) -> bool:
    """Whether anything lies between a point and a light at o + v."""
    for k in range(len(kinds)):
        if not _passes(shapes[k], radii[k], ox, oy, oz, vx, vy, vz) and (
            _at(kinds[k], shapes[k], ox, oy, oz, vx, vy, vz, NEAR) < 1.0
        ):
            return True
    return False


@compiled  # type: ignore[untyped-decorator]
def facing(
    kind: int, shape: Floats, x: float, y: float, z: float, vx: float, vy: float, vz: float
) -> tuple[float, float, float]:
    """The normal at a point of a shape, in the world's frame, turned against the ray v."""
    dx, dy, dz = x - shape[CENTRE], y - shape[CENTRE + 1], z - shape[CENTRE + 2]
    r = shape[FRAME:SIZE]
    nx, ny, nz = normal(
        kind, r[0] * dx + r[3] * dy + r[6] * dz, r[1] * dx + r[4] * dy + r[7] * dz, r[2] * dx + r[5] * dy + r[8] * dz,
        shape[SIZE], shape[SIZE + 1], shape[SIZE + 2], shape[ROUNDNESS], shape[ROUNDNESS + 1],
    )  # fmt: skip
    wx, wy, wz = (
        r[0] * nx + r[1] * ny + r[2] * nz,
        r[3] * nx + r[4] * ny + r[5] * nz,
        r[6] * nx + r[7] * ny + r[8] * nz,
    )
    sign = -1.0 if wx * vx + wy * vy + wz * vz > 0.0 else 1.0
    return sign * wx, sign * wy, sign * wz


@compiled  # type: ignore[untyped-decorator]
def label(
    kinds: Integers, shapes: Floats, radii: Floats, ids: NDArray[np.uint8], camera: Floats, focal: float, far: float,
    depth: Floats, normals: Floats, found: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Fill depth (S, S) in metres, 0 past `far` and in the sky, normals (S, S, 3) in the camera's frame, ids (S, S).

    `camera` (3, 3) takes the camera's frame to the world's. Rays go through the middle of pixels.
    """
    side = len(depth)
    for row in range(side):
        for column in range(side):
            across, down = (column + 0.5 - side / 2) / focal, (row + 0.5 - side / 2) / focal
            vx = camera[0, 0] * across + camera[0, 1] * down + camera[0, 2]
            vy = camera[1, 0] * across + camera[1, 1] * down + camera[1, 2]
            vz = camera[2, 0] * across + camera[2, 1] * down + camera[2, 2]
            t, k = nearest(kinds, shapes, radii, 0.0, 0.0, 0.0, vx, vy, vz)
            depth[row, column], found[row, column] = 0.0, 0
            normals[row, column] = 0.0
            if k >= 0 and t <= far:
                n = facing(kinds[k], shapes[k], t * vx, t * vy, t * vz, vx, vy, vz)
                for axis in range(3):
                    normals[row, column, axis] = (
                        camera[0, axis] * n[0] + camera[1, axis] * n[1] + camera[2, axis] * n[2]
                    )
                depth[row, column], found[row, column] = t, ids[k]


def reach(kinds: Integers, shapes: Floats) -> Floats:
    """Radii (K,) of balls around shapes, from their half sizes; a plane's is infinite."""
    a, b, c = shapes[:, SIZE : SIZE + 3].T
    flat, ball, pipe = kinds == RECTANGLE, kinds == SPHERE, kinds == CYLINDER
    squared = a**2 + np.where(flat | ball, 0, b**2) + np.where(ball | pipe, 0, c**2)
    found: Floats = np.sqrt(squared) * (1 + 1e-9)
    return found
