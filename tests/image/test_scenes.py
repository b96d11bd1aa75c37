"""The renderer: every shape against a formula or a slow march, labels against each other, bytes against themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from modalities.image.shared.scenes import drawing, views
from modalities.image.shared.scenes.drawing import Camera, Scene, row, turn
from modalities.image.shared.scenes.painting import paint
from modalities.image.shared.scenes.shapes import (
    BOX,
    CYLINDER,
    NAMES,
    RECTANGLE,
    SPHERE,
    SUPERQUADRIC,
)
from modalities.image.shared.scenes.tracing import reach

Floats = NDArray[np.float64]
NONE = np.zeros((0, 1, 1, 3), np.float32)
STRAIGHT = Camera(view=60.0, height=1.5, pitch=0.0, roll=0.0)


def scene(kinds: list[int], rows: list[Floats], camera: Camera = STRAIGHT, **changes: Any) -> Scene:
    material = np.array([0.0, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, 10, 0])
    found: dict[str, Any] = {
        "camera": camera,
        "kinds": np.array(kinds, np.int64),
        "shapes": np.stack(rows),
        "ids": np.arange(1, len(kinds) + 1),
        "materials": np.stack([material] * len(kinds)),
        "lights": np.array([[0, -3.0, 0, 1, 1, 1]]),
        "ambient": 0.3,
        "sky": np.ones((2, 3)),
    }
    return Scene(**(found | changes))


def rays(side: int, focal: float) -> Floats:
    """(S, S, 3), through the middle of pixels, with a z of 1."""
    v, u = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.stack([u / focal, v / focal, np.ones((side, side))], -1)


def box_distance(p: Floats, size: Floats) -> Floats:
    q = np.abs(p) - size
    outside: Floats = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    return outside


@pytest.mark.parametrize(("distance", "radius"), [(3.0, 0.5), (2.0, 0.8)])
def test_a_sphere_on_the_axis(distance: float, radius: float) -> None:
    side = 129  # odd: the middle pixel looks along the axis
    depth, normals, ids = views.labelled(
        scene([SPHERE], [row([0, 0, distance], turn(1, 30), [radius] * 3)]), side
    )
    assert depth[64, 64] == pytest.approx(distance - radius, abs=1e-12)
    assert normals[64, 64] == pytest.approx([0, 0, -1], abs=1e-12)
    expected = radius * STRAIGHT.focal(side) / np.sqrt(distance**2 - radius**2)
    across, down = (ids == 1).any(0).sum() / 2, (ids == 1).any(1).sum() / 2
    assert across == pytest.approx(expected, abs=1) and down == pytest.approx(expected, abs=1)
    assert not depth[ids == 0].any() and not normals[ids == 0].any()


@pytest.mark.parametrize("tilt", [0.0, 20.0, 55.0])
def test_a_tilted_plane(tilt: float) -> None:
    side, focal = 64, STRAIGHT.focal(64)
    frame = turn(2, 15) @ turn(0, 90 - tilt)  # a rectangle's normal is its y
    depth, normals, _ = views.labelled(scene([RECTANGLE], [row([0, 0, 3], frame, [50, 0, 50])]), side)
    seen = depth > 0
    assert seen.mean() > 0.5 and np.ptp(normals[seen], axis=0).max() < 1e-12
    face = frame[:, 1] * -np.sign(frame[2, 1])
    assert normals[seen][0] == pytest.approx(face, abs=1e-12)
    v, u = np.nonzero(seen)
    terms = np.stack([u, v, np.ones(len(u))], 1)
    solved, *_ = np.linalg.lstsq(terms, 1 / depth[seen], rcond=None)
    assert np.abs(terms @ solved - 1 / depth[seen]).max() < 1e-6
    assert np.isclose(depth[seen], 3 * face[2] / (rays(side, focal)[seen] @ face)).all()


def test_normals_are_those_of_the_depth_away_from_contours() -> None:
    side = 96
    bad = count = 0
    for k in range(8):
        made = drawing.scene(np.random.default_rng([5, k]), [3, 12], 0)
        depth, normals, ids = views.labelled(made, side)
        points = rays(side, made.camera.focal(side)) * depth[..., None]
        across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
        found = np.cross(across, down)
        found /= np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
        found *= -np.sign((found * rays(side, made.camera.focal(side))[1:-1, 1:-1]).sum(-1, keepdims=True))
        near = np.lib.stride_tricks.sliding_window_view
        one = (near(depth, (3, 3)).min((2, 3)) > 0) & (np.ptp(near(ids, (3, 3)), axis=(2, 3)) == 0)
        # An edge between two faces of one object is a contour of normals.
        turns = near(normals, (3, 3), axis=(0, 1))
        centre = normals[1:-1, 1:-1, :, None, None]
        one &= (turns * centre).sum(2).min((2, 3)) > 0.995
        angle = np.rad2deg(np.arccos(np.clip((found * normals[1:-1, 1:-1]).sum(-1), -1, 1)))
        count += one.sum()
        bad += (angle[one] > 2).sum()
        assert np.abs(np.linalg.norm(normals[depth > 0], axis=1) - 1).max() < 1e-9
        assert ((normals * rays(side, made.camera.focal(side))).sum(-1)[depth > 0] < 1e-9).all()  # facing
    assert count > 20_000 and bad / count < 0.002


def test_depth_is_along_the_axis_and_not_along_the_ray() -> None:
    wall = row([0, 0, 4], turn(0, 90), [50, 0, 50])
    depth, _, _ = views.labelled(scene([RECTANGLE], [wall]), 32)
    assert depth == pytest.approx(np.full((32, 32), 4.0), abs=1e-9)


def test_a_floor_lies_where_pitch_and_height_put_it() -> None:
    camera = Camera(view=60.0, height=1.4, pitch=25.0, roll=4.0)
    depth, normals, _ = views.labelled(
        scene([RECTANGLE], [row([0, 1.4, 0], np.eye(3), [np.inf, 0, np.inf])], camera), 65
    )
    assert depth[32, 32] == pytest.approx(1.4 / np.sin(np.deg2rad(25)), rel=1e-9)
    up = camera.frame.T @ np.array([0, -1.0, 0])
    assert normals[32, 32] == pytest.approx(up, abs=1e-12)
    assert up[1] == pytest.approx(-np.cos(np.deg2rad(25)) * np.cos(np.deg2rad(4)), abs=1e-9)


def test_contours_are_where_neighbours_differ() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (2, 9, 7)).astype(np.uint8)
    slow = np.zeros(ids.shape, bool)
    for n in range(2):
        for y in range(9):
            for x in range(7):
                for other in ((y, x + 1), (y + 1, x)):
                    if other[0] < 9 and other[1] < 7 and ids[n, y, x] != ids[n, other[0], other[1]]:
                        slow[n, y, x] = slow[n, other[0], other[1]] = True
    assert np.array_equal(views.contours(ids), slow)


def test_boxes_hold_all_of_an_object_and_no_speck() -> None:
    ids = np.zeros((30, 30), np.uint8)
    ids[3:9, 5:12] = 4
    ids[20, 1:20] = 2  # 19 pixels
    assert views.boxes(ids) == [(4, 3, 5, 6, 7, 42)]


def test_objects_do_not_overlap_and_stand_on_the_floor() -> None:
    raised = walls = total = 0
    for k in range(60):
        made = drawing.scene(np.random.default_rng([7, k]), [3, 12], 0)
        own = made.ids > 0
        total += own.sum()
        walls += (made.ids == 0).sum() == 4
        assert own.sum() <= 12 and set(made.kinds[own]) <= {SPHERE, BOX, CYLINDER, SUPERQUADRIC}
        height = made.camera.height
        bottom = []
        for kind, shape in zip(made.kinds[own], made.shapes[own], strict=True):
            frame, size = shape[3:12].reshape(3, 3), shape[12:15]
            half = size[0] if kind == SPHERE else np.abs(frame[1]) @ size
            bottom.append(height - shape[1] - half)
            assert 0.15 / 2 - 1e-9 <= size.max() <= 0.8 / 2 + 1e-9
        assert min(bottom) > -1e-9
        raised += (np.array(bottom) > 1e-9).sum()
        # No point of one lies in another: by their visible points.
        depth, _, ids = views.labelled(made, 48)
        points = rays(48, made.camera.focal(48)) * depth[..., None] @ made.camera.frame.T
        for mark in np.unique(ids[ids > 0]):
            for kind, shape, other in zip(made.kinds, made.shapes, made.ids, strict=True):
                if kind in (SPHERE, BOX) and other not in (0, mark):
                    p = (points[ids == mark] - shape[:3]) @ shape[3:12].reshape(3, 3)
                    size = shape[12:15]
                    inside = np.linalg.norm(p, axis=1) - size[0] if kind == SPHERE else box_distance(p, size)
                    assert inside.min() > -1e-3
    assert 0.12 < raised / total < 0.28 and 18 < walls < 42 and total / 60 > 3


def test_shadows_fall_where_a_light_is_hidden() -> None:
    camera = Camera(view=60.0, height=2.0, pitch=30.0, roll=0.0)
    floor, ball = row([0, 2.0, 0], np.eye(3), [np.inf, 0, np.inf]), row([0, 1.0, 3.0], np.eye(3), [0.4] * 3)
    light = np.array([[0.0, -4.0, 3.0, 1, 1, 1]])
    both = scene([RECTANGLE, SPHERE], [floor, ball], camera, lights=light)
    alone = scene([RECTANGLE], [floor], camera, lights=light)
    side = 64
    pictures = [np.empty((side, side, 3)) for _ in range(2)]
    for made, out in zip((both, alone), pictures, strict=True):
        paint(
            made.kinds, made.shapes, reach(made.kinds, made.shapes), made.materials, NONE, made.lights,
            made.ambient, made.sky, camera.frame, camera.focal(side), out,
        )  # fmt: skip
    depth, _, ids = views.labelled(both, side)
    points = rays(side, camera.focal(side)) * depth[..., None] @ camera.frame.T
    away = np.hypot(points[..., 0], points[..., 2] - 3.0)
    ground = ndimage.binary_erosion((ids == 1) & (depth > 0), np.ones((3, 3), np.bool_))  # whole pixels
    # Under the ball, by the cone from the light: 6 m above the floor, 5 m above the ball's middle.
    cone = 6 * np.tan(np.arcsin(0.4 / 5))
    dark, lit = ground & (away < cone - 0.1), ground & (away > cone + 0.1) & (away < 2)
    assert dark.sum() > 5 and lit.sum() > 100
    assert pictures[0][dark] == pytest.approx(np.full((dark.sum(), 3), 0.3 * 0.5), abs=1e-6)  # ambient alone
    assert pictures[0][lit] == pytest.approx(pictures[1][lit], abs=1e-6)
    assert (pictures[1][dark] > 0.3).all()


def test_colours_are_of_corpus_pictures_where_asked() -> None:
    made = [
        drawing.scene(np.random.default_rng([9, k]), [5, 5], pictures)
        for pictures in (0, 4)
        for k in range(40)
    ]
    patterns = [np.concatenate([m.materials[:, 0] for m in part]) for part in (made[:40], made[40:])]
    assert set(patterns[0]) == {0, 1, 2, 3, 4} and set(patterns[1]) == {0, 1, 2, 3, 4, 5}
    wall = scene([RECTANGLE], [row([0, 0, 2], turn(0, 90), [9, 0, 9])], lights=np.zeros((0, 6)), ambient=1.0)
    wall.materials[0, 0] = 5
    red = np.zeros((1, 4, 4, 3), np.float32)
    red[..., 0] = 0.7
    out = np.empty((8, 8, 3))
    paint(
        wall.kinds, wall.shapes, reach(wall.kinds, wall.shapes), wall.materials, red, wall.lights, 1.0, wall.sky,
        np.eye(3), 8.0, out,
    )  # fmt: skip
    assert out == pytest.approx(np.broadcast_to([0.7, 0, 0], out.shape), abs=1e-6)


def files(folder: Path, seed: int = 3, **changes: Any) -> dict[str, bytes]:
    folder.mkdir()
    keys: dict[str, Any] = {"count": 6, "side": 32, "objects": [3, 8], "pictures": NONE}
    views.write(folder, seed=seed, **(keys | changes))
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_the_same_seed_writes_the_same_bytes_on_any_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = files(tmp_path / "a")
    monkeypatch.setattr(views, "processes", lambda: 1)
    assert files(tmp_path / "b") == first
    assert files(tmp_path / "c", seed=4) != first
    more = files(tmp_path / "d", count=8)
    assert np.array_equal(views.read(tmp_path / "d").images[:6], views.read(tmp_path / "a").images)
    assert set(more) == set(first)


def test_what_is_written_is_what_is_labelled(tmp_path: Path) -> None:
    files(tmp_path / "a")
    found = views.read(tmp_path / "a")
    assert len(found) == 6 and found.side == 32
    things = pq.read_table(tmp_path / "a" / "objects.parquet").to_pylist()
    cameras = pq.read_table(tmp_path / "a" / "views.parquet").to_pylist()
    for k in range(6):
        made = drawing.scene(np.random.default_rng([3, k]), [3, 8], 0)
        depth, normals, ids = views.labelled(made, 32)
        assert np.array_equal(found.ids[k], ids)
        assert found.depth[k] == pytest.approx(depth, rel=1e-3)
        assert np.abs(found.normals[k] / 127 - normals).max() < 0.005
        assert cameras[k]["focal"] == pytest.approx(made.camera.focal(32))
        mine = [thing for thing in things if thing["view"] == k]
        assert [
            (t["id"], t["top"], t["left"], t["height"], t["width"], t["pixels"]) for t in mine
        ] == views.boxes(ids)
        kinds = dict(zip(made.ids.tolist(), made.kinds.tolist(), strict=True))
        assert all(t["shape"] == NAMES[kinds[t["id"]]] for t in mine)
    assert found.images.std() > 20 and not (found.depth > views.FAR).any()
    with pytest.raises(FileNotFoundError, match="holds no rendered views; run `dvc repro` first"):
        views.read(tmp_path)
