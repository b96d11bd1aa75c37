"""HHA: a floor and a wall whose depth is known in closed form, seen by a camera that looks down at them."""

import numpy as np
import pytest

from modalities.image.shared.hha import HHA, Floats, Intrinsics, gravity, hha, normals, rays

CAMERA = Intrinsics(150.0, 150.0, 79.5, 59.5)
SHAPE = (120, 160)
PITCH = 20.0  # degrees by which the camera looks down
HEIGHT, DISTANCE = 150.0, 400.0  # cm, of the camera above the floor and from the wall


def room(pitch: float = PITCH) -> tuple[Floats, np.ndarray, Floats]:
    """Depth in cm, where the floor is, and the true direction of gravity in the frame of the camera."""
    turn = np.deg2rad(pitch)
    down, ahead = np.array([0, np.cos(turn), np.sin(turn)]), np.array([0, -np.sin(turn), np.cos(turn)])
    seen = rays(SHAPE, CAMERA)
    with np.errstate(divide="ignore"):
        floor = np.where(seen @ down > 0, HEIGHT / (seen @ down), np.inf)
    wall = DISTANCE / (seen @ ahead)
    return np.minimum(floor, wall), floor < wall, down


def found(pitch: float = PITCH) -> HHA:
    depth, _, _ = room(pitch)
    return hha(depth, CAMERA, np.zeros(SHAPE, np.bool_))


def inside(mask: np.ndarray) -> np.ndarray:
    """Pixels whose whole window, the wider one, is in the mask."""
    from scipy import ndimage

    return ndimage.binary_erosion(mask, np.ones((9, 9), np.bool_), border_value=1)


@pytest.mark.parametrize("pitch", [10.0, 20.0, 35.0])
def test_gravity_is_found_within_a_degree(pitch: float) -> None:
    true = room(pitch)[2]
    assert np.rad2deg(np.arccos(np.clip(found(pitch).gravity @ true, -1, 1))) < 1


def test_floor_and_wall_have_their_heights_and_angles() -> None:
    _, floor, _ = room()
    channels = found().channels.astype(int)
    assert inside(floor).sum() > 2000 and inside(~floor).sum() > 2000
    assert np.abs(channels[floor, 1]).max() <= 1
    assert np.abs(channels[inside(floor), 2] - 38).max() <= 1
    assert np.abs(channels[inside(~floor), 2] - 128).max() <= 1


def test_the_height_of_the_wall_is_that_of_its_points() -> None:
    depth, floor, down = room()
    true = HEIGHT - (depth[..., None] * rays(SHAPE, CAMERA)) @ down
    assert np.abs(found().channels[~floor, 1] - np.minimum(true[~floor], 255)).max() <= 1.5


def test_disparity_is_the_formula() -> None:
    depth, _, _ = room()
    channels = found().channels
    rng = np.random.default_rng(0)
    for v, u in zip(rng.integers(0, SHAPE[0], 20), rng.integers(0, SHAPE[1], 20), strict=True):
        assert channels[v, u, 0] == min(255, round(31000 / max(depth[v, u], 100)))
    near = hha(np.full(SHAPE, 80.0), CAMERA, np.zeros(SHAPE, np.bool_)).channels
    assert (near[..., 0] == 255).all()  # saturates under 122 cm


def test_a_camera_that_sees_no_floor_is_taken_to_be_130_cm_above_it() -> None:
    channels = hha(np.full(SHAPE, 200.0), CAMERA, np.zeros(SHAPE, np.bool_)).channels
    middle = channels[59:61, :, 1].astype(int)  # at the height of the camera
    assert np.abs(middle - 130).max() <= 1
    assert np.abs(channels[..., 2].astype(int) - 128).max() <= 1


def test_a_ceiling_is_half_a_turn_from_the_floor() -> None:
    depth, floor, _ = room()
    # The same room upside down, with the way down told: what was the floor now faces down.
    upset = normals(depth[::-1] / 100, CAMERA, np.zeros(SHAPE, np.bool_), 3)
    down = room()[2] * [1, 1, -1]
    angle = np.rad2deg(np.arccos(np.clip(upset[inside(floor[::-1])] @ down, -1, 1)))
    assert np.abs(angle - 180).max() < 1


def test_normals_are_the_least_squares_of_each_window() -> None:
    rng = np.random.default_rng(0)
    depth = 2 + 0.1 * rng.random((12, 12))
    missing = rng.random((12, 12)) < 0.2
    camera = Intrinsics(20.0, 22.0, 5.0, 6.0)
    depth[3:6, 4:8] += 1.5  # a jump: another surface
    fast = normals(depth, camera, missing, 2)
    seen = rays(depth.shape, camera)
    for v in range(12):
        for u in range(12):
            window = np.s_[max(0, v - 2) : v + 3, max(0, u - 2) : u + 3]
            keep = ~missing[window] & (np.abs(depth[window] - depth[v, u]) <= 0.1 * depth[v, u])
            if missing[v, u] or np.linalg.matrix_rank(seen[window][keep]) < 3:
                assert np.isnan(fast[v, u]).all()
                continue
            slow = np.linalg.lstsq(seen[window][keep], 1 / depth[window][keep], rcond=None)[0]
            np.testing.assert_allclose(fast[v, u], slow / np.linalg.norm(slow), atol=1e-6)
            assert fast[v, u] @ seen[v, u] > 0  # away from the camera


def test_missing_pixels_are_marked_and_change_nothing_else() -> None:
    depth, floor, _ = room()
    missing = np.zeros(SHAPE, np.bool_)
    missing[::7, ::5] = True
    missing[40:60, 40:60] = True
    holed = np.where(missing, 0, depth)
    whole, part = found(), hha(holed, CAMERA, np.zeros(SHAPE, np.bool_))  # no depth is as good as marked
    assert not part.known[missing].any() and part.known[~missing].mean() > 0.99
    calm = part.known & (inside(floor) | inside(~floor))
    assert np.abs(part.channels[calm].astype(int) - whole.channels[calm]).max() <= 1


def test_gravity_keeps_its_sign_and_stays_a_unit() -> None:
    rng = np.random.default_rng(0)
    some = rng.normal(size=(500, 3))
    down = gravity(some / np.linalg.norm(some, axis=1, keepdims=True))
    assert np.linalg.norm(down) == pytest.approx(1) and down[1] > 0


def test_a_picture_without_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"100% missing has no surface; leave the picture out"):
        hha(np.zeros((16, 16)), Intrinsics(20.0, 20.0, 8.0, 8.0), np.ones((16, 16), np.bool_))
