"""HHA: depth as three channels, horizontal disparity, height above the floor and angle to gravity.

Gupta, Girshick, Arbelaez and Malik, ECCV 2014, arXiv:1407.5736; the estimate of gravity is Gupta, Arbelaez and Malik,
CVPR 2013. Camera frame: x right, y down, z forward.

Departures: eigenvectors by `eigh`, in order; a known port takes those of `eig` as they come. Where several directions
are as good, as before a bare wall, the one nearest to the last estimate is taken. Where a pixel or its window has no
depth, HHA is not guessed but marked.
H x W pixels, n normals.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

RADIUS = 3  # pixels, of the window that a normal of the angle channel is fitted in
GRAVITY_RADIUS = 10  # of those that gravity is found from
JUMP = 0.1  # of the depth: what differs by more is another surface
ROUNDS = ((45.0, 5), (15.0, 5))  # degrees around gravity that count as floor or wall, and how often
TIE = 1e-6  # of the number of normals: eigenvalues nearer to each other are the same
NEAREST = 100.0  # cm: anything nearer has the disparity of this
DISPARITY = 31000.0
LEAST_DROP, USUAL_DROP = (
    -90.0,
    -130.0,
)  # cm: a lowest point less far below the camera than the first is no floor
LEVEL = 38.0  # the angle channel of a floor; a wall has 90 more
MIDDLE = 127.5  # the value of no deviation: training reads (channel - 127.5) / 127.5


class Intrinsics(NamedTuple):
    """Focal lengths and principal point, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


class HHA(NamedTuple):
    channels: NDArray[np.uint8]  # (H, W, 3); 127 where not known
    known: Flags  # (H, W)
    gravity: Floats  # (3,), a unit vector in the camera's frame


def rays(shape: tuple[int, int], camera: Intrinsics) -> Floats:
    """(X/Z, Y/Z, 1) of every pixel, (H, W, 3)."""
    v, u = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(shape)], -1)


def normals(depth: Floats, camera: Intrinsics, missing: Flags, radius: int) -> Floats:
    """Unit normals (H, W, 3), away from the camera, of planes fitted around each pixel; NaN where none can be.

    A plane is linear in inverse depth: n·(X/Z, Y/Z, 1) = 1/Z, solved by least squares over the pixels of a square
    window, without those that are missing or lie more than a jump in depth away. `depth` (H, W) in metres.
    """
    height, width = depth.shape
    x, y, one = np.moveaxis(rays((height, width), camera), -1, 0)
    z = np.where(missing, np.nan, depth)
    b = 1 / np.where(missing, 1, depth)
    terms = np.stack([x * x, x * y, x, y * y, y, one, x * b, y * b, b])
    terms = np.pad(terms, ((0, 0), (radius, radius), (radius, radius)))
    around = np.pad(z, radius, constant_values=np.nan)
    sums = np.zeros((9, height, width))
    for dv in range(2 * radius + 1):
        for du in range(2 * radius + 1):
            here = (slice(dv, dv + height), slice(du, du + width))
            same = np.abs(around[here] - z) <= JUMP * z  # false for NaN: no missing pixel is in any window
            sums += terms[:, *here] * same
    xx, xy, sx, yy, sy, count, *right = sums
    rows = [np.stack(row, -1) for row in ((xx, xy, sx), (xy, yy, sy), (sx, sy, count))]
    across = [
        np.cross(rows[k - 2], rows[k - 1]) for k in range(3)
    ]  # Cramer's rule, the matrix being symmetric
    determinant = (rows[0] * across[0]).sum(-1)
    found: Floats = sum(
        (part[..., None] * column for part, column in zip(right, across, strict=True)), np.zeros(3)
    )
    # Pixels along one line fix no plane: ask for a spread of a tenth of a pixel both ways.
    flat = determinant <= 1e-4 * np.maximum(count, 1) ** 3 / (camera.fx * camera.fy) ** 2
    found[flat | (count < 3)] = np.nan
    unit: Floats = found / np.linalg.norm(found, axis=-1, keepdims=True)
    return unit


def gravity(found: Floats) -> Floats:
    """The direction (3,) that most of these normals, (n, 3), are along or at right angles to; down in the picture to
    begin with."""
    down = np.array([0.0, 1.0, 0.0])
    for degrees, times in ROUNDS:
        for _ in range(times):
            along = np.abs(found @ down)
            floor = found[along > np.cos(np.deg2rad(degrees))]
            wall = found[along < np.sin(np.deg2rad(degrees))]
            values, vectors = np.linalg.eigh(
                wall.T @ wall - floor.T @ floor
            )  # the smallest eigenvalue comes first
            tied = vectors[:, values - values[0] <= TIE * len(found)]
            nearest = tied @ (tied.T @ down)  # of one vector, that vector with the sign of the last estimate
            length = float(np.linalg.norm(nearest))
            down = nearest / length if length > TIE else vectors[:, 0]
    return down


def hha(depth: Floats, camera: Intrinsics, missing: Flags) -> HHA:
    """Of one picture; `depth` (H, W) in centimetres, `missing` (H, W) where the sensor saw nothing.

    Raises ValueError where no pixel has a depth that a plane could be fitted to.
    """
    missing = missing | ~np.isfinite(depth) | (depth <= 0)
    metres = np.where(missing, 1.0, depth / 100)
    wide = normals(metres, camera, missing, GRAVITY_RADIUS).reshape(-1, 3)
    wide = wide[np.isfinite(wide[:, 0])]
    if not len(wide):
        share = missing.mean()
        raise ValueError(
            f"depth of {missing.shape} with {share:.0%} missing has no surface; leave the picture out"
        )
    down = gravity(wide)
    fine = normals(metres, camera, missing, RADIUS)
    known = ~missing & np.isfinite(fine[..., 0])
    height = -100 * metres * (rays(depth.shape, camera) @ down)  # above the camera, in cm
    lowest = height[~missing].min()
    floor = lowest if lowest <= LEAST_DROP else USUAL_DROP
    angle = np.rad2deg(np.arccos(np.clip(np.where(known[..., None], fine, 0) @ down, -1, 1)))
    channels = np.stack([DISPARITY / np.maximum(100 * metres, NEAREST), height - floor, angle + LEVEL], -1)
    channels = np.where(known[..., None], channels, MIDDLE - 0.5)
    return HHA(np.clip(np.rint(channels), 0, 255).astype(np.uint8), known, down)
