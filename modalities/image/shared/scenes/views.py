"""Rendered views: a scene as a picture and its exact labels, and many of them in files.

A folder holds images-00000.npy (n, S, S, 3) uint8, depth (n, S, S) float16 in metres, 0 past FAR and in the sky,
normals (n, S, S, 3) int8, times 127, in the camera's frame and facing it, ids (n, S, S) uint8, 0 for floor and walls,
and two tables: views.parquet (of each view focal length, centre, height, pitch, roll) and objects.parquet (of each
object that shows: view, id, shape, box, visible pixels).
S side in pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.common.parallel import processes
from modalities.image.shared.scenes import drawing
from modalities.image.shared.scenes.drawing import Scene
from modalities.image.shared.scenes.painting import paint
from modalities.image.shared.scenes.shapes import NAMES, Floats
from modalities.image.shared.scenes.tracing import label, reach

FAR = 10.0  # metres: depth beyond is not asked for
LEAST_VISIBLE = 20  # pixels of an object that has a box
EXPOSURE = (0.12, 0.35)  # the mean of a picture, linear
GAMMA, NOISE = 2.2, 0.01
BLUR, QUALITY = (0.3, 0.8), (40, 95)  # of a lens in pixels, of JPEG: half of the pictures each
KEYS = ("images", "depth", "normals", "ids")

Pictures = NDArray[np.float32]  # (n, h, w, 3), linear, for textures


@dataclass(frozen=True)
class Rendered:
    """One view."""

    image: NDArray[np.uint8]  # (S, S, 3)
    depth: Floats  # (S, S)
    normals: Floats  # (S, S, 3)
    ids: NDArray[np.uint8]  # (S, S)


@dataclass(frozen=True)
class Views:
    """Many views, memory-mapped. See the module for what is in them."""

    images: NDArray[np.uint8]
    depth: NDArray[np.float16]
    normals: NDArray[np.int8]
    ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        return int(self.images.shape[1])


def labelled(scene: Scene, side: int) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Depth, normals and ids at the middle of every pixel: exact, never averaged."""
    depth, normals = np.empty((side, side)), np.empty((side, side, 3))
    ids = np.empty((side, side), np.uint8)
    radii = reach(scene.kinds, scene.shapes)
    marks = scene.ids.astype(np.uint8)
    camera = scene.camera
    label(scene.kinds, scene.shapes, radii, marks, camera.frame, camera.focal(side), FAR, depth, normals, ids)
    return depth, normals, ids


def photographed(scene: Scene, side: int, pictures: Pictures, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (S, S, 3): exposed, blurred, noisy and compressed as photographs are, so that no critic can tell it
    by its clean edges."""
    import cv2

    light = np.empty((side, side, 3))
    camera = scene.camera
    paint(
        scene.kinds, scene.shapes, reach(scene.kinds, scene.shapes), scene.materials, pictures, scene.lights,
        scene.ambient, scene.sky, camera.frame, camera.focal(side), light,
    )  # fmt: skip
    exposed = light * (rng.uniform(*EXPOSURE) / max(float(light.mean()), 1e-6))
    image = np.clip(exposed, 0, 1) ** (1 / GAMMA)
    blur, sigma = rng.random() < 0.5, float(rng.uniform(*BLUR))
    if blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float64)
    image = image + rng.normal(0, NOISE, image.shape)
    found = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    compressed, quality = rng.random() < 0.5, int(rng.integers(QUALITY[0], QUALITY[1] + 1))
    if compressed:
        _, data = cv2.imencode(".jpg", found, [cv2.IMWRITE_JPEG_QUALITY, quality])
        found = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return found


def render(scene: Scene, side: int, pictures: Pictures, rng: np.random.Generator) -> Rendered:
    return Rendered(photographed(scene, side, pictures, rng), *labelled(scene, side))


def contours(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(..., S, S): where an id differs from that to its right or below; both pixels are marked."""
    found = np.zeros(ids.shape, np.bool_)
    across, down = ids[..., :, 1:] != ids[..., :, :-1], ids[..., 1:, :] != ids[..., :-1, :]
    found[..., :, 1:] |= across
    found[..., :, :-1] |= across
    found[..., 1:, :] |= down
    found[..., :-1, :] |= down
    return found


def boxes(ids: NDArray[np.uint8]) -> list[tuple[int, int, int, int, int, int]]:
    """(id, top, left, height, width, pixels) of each object that shows enough, of one view."""
    found = []
    for mark in np.unique(ids[ids > 0]):
        rows, columns = np.nonzero(ids == mark)
        if len(rows) >= LEAST_VISIBLE:
            top, left = int(rows.min()), int(columns.min())
            size = (int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)
            found.append((int(mark), top, left, *size, len(rows)))
    return found


def write(out: Path, *, seed: int, count: int, side: int, objects: Sequence[int], pictures: Pictures) -> None:
    """Render views 0 .. count - 1, on all cores; each is drawn from its own (seed, number), so files are the same bytes
    however many cores there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"images": np.uint8, "depth": np.float16, "normals": np.int8, "ids": np.uint8}
    files: dict[str, Any] = {
        key: np.lib.format.open_memmap(
            out / f"{key}-00000.npy",
            "w+",
            kinds[key],
            (count, side, side, *((3,) if key in ("images", "normals") else ())),
        )
        for key in KEYS
    }

    def one(k: int) -> tuple[list[float], list[list[Any]]]:
        rng = np.random.default_rng([seed, k])
        scene = drawing.scene(rng, objects, len(pictures))
        view = render(scene, side, pictures, rng)
        files["images"][k], files["depth"][k], files["ids"][k] = view.image, view.depth, view.ids
        files["normals"][k] = np.rint(127 * view.normals)
        camera = scene.camera
        shapes = {int(mark): NAMES[kind] for mark, kind in zip(scene.ids, scene.kinds, strict=True) if mark}
        things = [[k, mark, shapes[mark], *rest] for mark, *rest in boxes(view.ids)]
        return [k, camera.focal(side), side / 2, camera.height, camera.pitch, camera.roll], things

    with ThreadPoolExecutor(processes()) as pool:  # rays release the GIL
        cameras, things = zip(*pool.map(one, range(count)), strict=True)
    for file in files.values():
        file.flush()
    names = ["view", "focal", "centre", "height", "pitch", "roll"]
    pq.write_table(pa.table([pa.array(c) for c in zip(*cameras, strict=True)], names), out / "views.parquet")
    names = ["view", "id", "shape", "top", "left", "height", "width", "pixels"]
    rows = [thing for each in things for thing in each]
    columns = [[row[k] for row in rows] for k in range(len(names))]
    pq.write_table(pa.table([pa.array(c) for c in columns], names), out / "objects.parquet")


def read(folder: Path) -> Views:
    """Raises FileNotFoundError where `write` has not been."""
    if not (folder / "views.parquet").exists():
        raise FileNotFoundError(f"{folder} holds no rendered views; run `dvc repro` first")
    return Views(*(np.load(folder / f"{key}-00000.npy", mmap_mode="r") for key in KEYS))
