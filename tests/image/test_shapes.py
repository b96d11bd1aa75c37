"""Shapes of the renderer: where rays meet them, against slow marches, distances and each other."""

from collections.abc import Callable

import numpy as np
import pytest

from modalities.image.shared.scenes import views
from modalities.image.shared.scenes.drawing import row, turn
from modalities.image.shared.scenes.shapes import BOX, CYLINDER, SPHERE, SUPERQUADRIC, meet, normal
from tests.image.test_scenes import STRAIGHT, Floats, box_distance, rays, scene


def march(
    distance: Callable[[Floats], Floats],
    origin: Floats,
    direction: Floats,
    steps: int = 4000,
    far: float = 8.0,
) -> Floats:
    """t of the first sign change along each ray, (n,), by small steps and linear interpolation; infinite for none."""
    t = np.linspace(0, far, steps)
    values = np.stack([distance(origin + s * direction) for s in t], 1)  # (n, steps)
    inside = values <= 0
    first = inside.argmax(1)
    hit = inside.any(1) & (first > 0)
    rows, k = np.arange(len(values)), np.maximum(first, 1)
    before, after = values[rows, k - 1], values[rows, k]
    found: Floats = np.where(hit, t[k - 1] + (t[1] - t[0]) * before / (before - after + 1e-30), np.inf)
    return found


def cylinder_distance(p: Floats, radius: float, half: float) -> Floats:
    q = np.stack([np.hypot(p[..., 0], p[..., 2]) - radius, np.abs(p[..., 1]) - half], -1)
    outside: Floats = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    return outside


@pytest.mark.parametrize("kind", [BOX, CYLINDER])
def test_box_and_cylinder_against_a_march_along_their_distance(kind: int) -> None:
    rng = np.random.default_rng(kind)
    size = np.array([0.5, 0.7, 0.3]) if kind == BOX else np.array([0.5, 0.7, 0.5])
    side = 24
    frame = turn(0, 25) @ turn(1, 40)
    centre = np.array([0.1, -0.1, 2.5])
    depth, _, ids = views.labelled(scene([kind], [row(centre, frame, size)]), side)
    v = rays(side, STRAIGHT.focal(side)).reshape(-1, 3)
    v_own, o_own = v @ frame, np.tile(-centre @ frame, (len(v), 1))

    def distance(p: Floats) -> Floats:
        return box_distance(p, size) if kind == BOX else cylinder_distance(p, size[0], size[1])

    t = march(distance, o_own, v_own)
    both = np.isfinite(t) & (ids.ravel() == 1)
    assert both.sum() > 60
    assert np.abs(t - depth.ravel())[both].max() < 5e-3
    assert (np.isfinite(t) != (ids.ravel() == 1)).mean() < 0.01  # grazing rays, that steps jump over
    # From everywhere, and from within: the first place beyond the start.
    for _ in range(200):
        o, d = rng.uniform(-1.5, 1.5, 3), rng.standard_normal(3)
        mine = meet(kind, *o, *d, *size, 1.0, 1.0, 1e-6)
        if np.isfinite(mine):
            assert abs(distance(o + mine * d)) < 1e-9
        between = np.linspace(1e-6, min(mine, 5.0), 200)[1:-1, None]
        signs = np.sign(distance(o + between * d)[np.abs(distance(o + between * d)) > 1e-3])
        assert len(np.unique(signs)) <= 1  # nothing is crossed before


def test_normals_of_box_and_cylinder_are_slopes_of_their_distance() -> None:
    rng = np.random.default_rng(0)
    for kind, size in ((BOX, np.array([0.5, 0.7, 0.3])), (CYLINDER, np.array([0.5, 0.7, 0.5]))):
        for _ in range(100):
            o = rng.standard_normal(3)
            o *= 2 / np.linalg.norm(o)
            d = rng.uniform(-0.25, 0.25, 3) - o
            t = meet(kind, *o, *d, *size, 1.0, 1.0, 0.0)
            p = o + t * d

            def distance(q: Floats, kind: int = kind, size: Floats = size) -> Floats:
                return box_distance(q, size) if kind == BOX else cylinder_distance(q, size[0], size[1])

            steps = 1e-4 * np.eye(3)
            slope = np.array([(distance(p + e) - distance(p - e)) / 2e-4 for e in steps])
            if abs(np.linalg.norm(slope) - 1) < 1e-2:  # not at an edge
                assert np.asarray(normal(kind, *p, *size, 1.0, 1.0)) == pytest.approx(slope, abs=1e-2)


def test_a_round_superquadric_is_an_ellipsoid() -> None:
    rng = np.random.default_rng(0)
    size = np.array([0.5, 0.8, 0.3])
    hits = 0
    for _ in range(500):
        o = rng.standard_normal(3)
        o *= 2 / np.linalg.norm(o)
        d = rng.uniform(-0.4, 0.4, 3) - o
        mine = meet(SUPERQUADRIC, *o, *d, *size, 1.0, 1.0, 0.0)
        so, sd = o / size, d / size
        theirs = meet(SPHERE, *so, *sd, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
        if np.isfinite(mine):
            hits += 1
            assert mine == pytest.approx(theirs, abs=1e-4)
            p = o + mine * d
            slope = p / size**2
            assert np.asarray(normal(SUPERQUADRIC, *p, *size, 1.0, 1.0)) == pytest.approx(
                slope / np.linalg.norm(slope), abs=1e-6
            )
        elif np.isfinite(theirs):  # a step may jump over what a ray only grazes
            through = np.linalg.norm((so + theirs * sd) * 1.0)
            closest = np.linalg.norm(np.cross(so, sd)) / np.linalg.norm(sd)
            assert through == pytest.approx(1) and closest > 0.999
    assert hits > 150


def test_superquadrics_of_any_exponents_end_where_their_field_is_nought() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        size, e1, e2 = rng.uniform(0.2, 0.8, 3), *rng.uniform(0.3, 2.0, 2)
        d = rng.standard_normal(3)
        t = meet(SUPERQUADRIC, *(-3 * d), *d, *size, e1, e2, 0.0)  # through the middle
        assert np.isfinite(t)
        p = (t - 3) * d

        def field(p: Floats, size: Floats = size, e1: float = e1, e2: float = e2) -> float:
            x, y, z = np.abs(p / size)
            return float((x ** (2 / e2) + z ** (2 / e2)) ** (e2 / e1) + y ** (2 / e1) - 1)

        assert field(p * 0.995) < 0 < field(p * 1.005)
        n = np.asarray(normal(SUPERQUADRIC, *p, *size, e1, e2))
        slope = np.array([field(p + e) - field(p - e) for e in 1e-7 * np.eye(3)])
        assert n @ slope / np.linalg.norm(slope) > 0.999
