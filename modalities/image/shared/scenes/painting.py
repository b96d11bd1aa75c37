"""What a point of a scene looks like: patterns, light, shadow. Compiled, one ray at a time.

Lambert and Blinn-Phong with hard shadows. A material is a row: which pattern, its frequency per metre, two colours, how
much and how sharply it shines, and a number that its noise and its picture are drawn by. Colours are linear RGB.
"""

import math

import numpy as np
from numpy.typing import NDArray

from modalities.image.shared.scenes.shapes import CENTRE, FRAME, SIZE, Floats, Integers, compiled
from modalities.image.shared.scenes.tracing import facing, nearest, shaded

PLAIN, CHECKER, STRIPES, NOISE, GRADIENT, PICTURE = range(6)
PATTERN, FREQUENCY, FIRST, SECOND, SHINE, SHARPNESS, NUMBER, MATERIAL = 0, 1, 2, 5, 8, 9, 10, 11
OCTAVES = 4
BIAS = 1e-3  # metres off the surface, where a ray to a light starts
SUBPIXELS = (0.25, 0.75)  # two by two a pixel


@compiled  # type: ignore[untyped-decorator]
def _hash(x: int, y: int, z: int, seed: int) -> float:
    """A number in [0, 1) for every corner of the lattice."""
    h = (x * 374761393 + y * 668265263 + z * 1274126177 + seed * 974634777) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1103515245) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 13)) & 0xFFFFFF) / 16777216.0


@compiled  # type: ignore[untyped-decorator]
def _noise(x: float, y: float, z: float, seed: int) -> float:
    """Value noise: the corners' numbers, smoothly between them."""
    ix, iy, iz = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - ix, y - iy, z - iz
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for k in range(8):
        dx, dy, dz = k & 1, (k >> 1) & 1, k >> 2
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fz if dz else 1 - fz)
        total += weight * _hash(ix + dx, iy + dy, iz + dz, seed)
    return total


@compiled  # type: ignore[untyped-decorator]
def octaves(x: float, y: float, z: float, seed: int) -> float:
    """Fractal noise in [0, 1]: each octave twice as fine and half as strong."""
    total, weight = 0.0, 0.5
    for k in range(OCTAVES):
        total += weight * _noise(x, y, z, seed + k)
        x, y, z, weight = 2 * x, 2 * y, 2 * z, weight / 2
    return total / (1 - 0.5**OCTAVES)


@compiled  # type: ignore[untyped-decorator]
def _mix(pattern: int, frequency: float, x: float, y: float, z: float, height: float, number: int) -> float:
    """How much of the second colour is here, in the shape's frame."""
    if pattern == CHECKER:  # a little off, so that flat sides do not lie on a border
        cells = (
            math.floor(x * frequency + 0.13)
            + math.floor(y * frequency + 0.17)
            + math.floor(z * frequency + 0.19)
        )
        return float(cells & 1)
    if pattern == STRIPES:
        along = x + 0.3 * y if number % 2 else z + 0.3 * y
        return float(math.floor(along * frequency) & 1)
    if pattern == NOISE:
        rough = octaves(x * frequency, y * frequency, z * frequency, number)
        return float(min(max(2.5 * rough - 0.75, 0.0), 1.0))
    if pattern == GRADIENT:
        return min(max(0.5 + 0.5 * y / height, 0.0), 1.0)
    return 0.0


@compiled  # type: ignore[untyped-decorator]
def _albedo(
    kind: int, shape: Floats, material: Floats, pictures: NDArray[np.float32],
    x: float, y: float, z: float, nx: float, ny: float, nz: float, out: Floats,
) -> None:  # fmt: skip
    """The colour at a point with a normal, both in the world's frame."""
    dx, dy, dz = x - shape[CENTRE], y - shape[CENTRE + 1], z - shape[CENTRE + 2]
    r = shape[FRAME:SIZE]
    px, py, pz = (
        r[0] * dx + r[3] * dy + r[6] * dz,
        r[1] * dx + r[4] * dy + r[7] * dz,
        r[2] * dx + r[5] * dy + r[8] * dz,
    )
    pattern, number = int(material[PATTERN]), int(material[NUMBER])
    if pattern == PICTURE and len(pictures):
        qx = abs(r[0] * nx + r[3] * ny + r[6] * nz)
        qy = abs(r[1] * nx + r[4] * ny + r[7] * nz)
        qz = abs(r[2] * nx + r[5] * ny + r[8] * nz)
        u, v = (py, pz) if qx > max(qy, qz) else ((px, pz) if qy > qz else (px, py))
        side = pictures.shape[1]
        u, v = u * material[FREQUENCY], v * material[FREQUENCY]
        row, column = int((v - math.floor(v)) * side) % side, int((u - math.floor(u)) * side) % side
        for channel in range(3):
            out[channel] = pictures[number % len(pictures), row, column, channel]
        return
    height = shape[SIZE + 1] if shape[SIZE + 1] > 0 else 1.0
    share = _mix(pattern, material[FREQUENCY], px, py, pz, height, number)
    for channel in range(3):
        out[channel] = (1 - share) * material[FIRST + channel] + share * material[SECOND + channel]


@compiled  # type: ignore[untyped-decorator]
def _light(
    kinds: Integers, shapes: Floats, radii: Floats, materials: Floats, pictures: NDArray[np.float32],
    lights: Floats, ambient: float, k: int, t: float, vx: float, vy: float, vz: float, albedo: Floats, out: Floats,
) -> None:  # fmt: skip
    """Add the colour of shape k, met by the ray t v from the camera, to `out` (3,)."""
    x, y, z = t * vx, t * vy, t * vz
    nx, ny, nz = facing(kinds[k], shapes[k], x, y, z, vx, vy, vz)
    material = materials[k]
    _albedo(kinds[k], shapes[k], material, pictures, x, y, z, nx, ny, nz, albedo)
    for channel in range(3):
        out[channel] += ambient * albedo[channel]
    length = math.sqrt(vx * vx + vy * vy + vz * vz)
    ox, oy, oz = x + BIAS * nx, y + BIAS * ny, z + BIAS * nz
    for j in range(len(lights)):
        lx, ly, lz = lights[j, 0] - ox, lights[j, 1] - oy, lights[j, 2] - oz
        away = math.sqrt(lx * lx + ly * ly + lz * lz)
        cosine = (nx * lx + ny * ly + nz * lz) / away
        if cosine <= 0.0 or shaded(kinds, shapes, radii, ox, oy, oz, lx, ly, lz):
            continue
        hx, hy, hz = lx / away - vx / length, ly / away - vy / length, lz / away - vz / length
        half = math.sqrt(hx * hx + hy * hy + hz * hz)
        glint = max((nx * hx + ny * hy + nz * hz) / max(half, 1e-9), 0.0) ** material[SHARPNESS]
        for channel in range(3):
            lit = albedo[channel] * cosine + material[SHINE] * glint
            out[channel] += lights[j, 3 + channel] * lit


@compiled  # type: ignore[untyped-decorator]
def paint(
    kinds: Integers, shapes: Floats, radii: Floats, materials: Floats, pictures: NDArray[np.float32],
    lights: Floats, ambient: float, sky: Floats, camera: Floats, focal: float, out: Floats,
) -> None:  # fmt: skip
    """Fill the colour (S, S, 3) of every pixel, the mean of two by two rays. `sky` (2, 3): above, at the horizon."""
    side = len(out)
    albedo = np.empty(3)
    for row in range(side):
        for column in range(side):
            pixel = out[row, column]
            pixel[:] = 0.0
            for dv in SUBPIXELS:
                for du in SUBPIXELS:
                    across, down = (column + du - side / 2) / focal, (row + dv - side / 2) / focal
                    vx = camera[0, 0] * across + camera[0, 1] * down + camera[0, 2]
                    vy = camera[1, 0] * across + camera[1, 1] * down + camera[1, 2]
                    vz = camera[2, 0] * across + camera[2, 1] * down + camera[2, 2]
                    t, k = nearest(kinds, shapes, radii, 0.0, 0.0, 0.0, vx, vy, vz)
                    if k >= 0:
                        _light(
                            kinds,
                            shapes,
                            radii,
                            materials,
                            pictures,
                            lights,
                            ambient,
                            k,
                            t,
                            vx,
                            vy,
                            vz,
                            albedo,
                            pixel,
                        )
                    else:
                        up = min(max(-vy / math.sqrt(vx * vx + vy * vy + vz * vz), 0.0), 1.0)
                        for channel in range(3):
                            pixel[channel] += (1 - up) * sky[1, channel] + up * sky[0, channel]
            for channel in range(3):
                pixel[channel] /= 4.0
