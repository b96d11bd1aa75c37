"""Scenes by chance: a camera, a floor, often three walls, objects that stand, are stacked or float, lights.

Frames as in tracing.py: the camera is the origin, y points down along gravity. Lengths in metres, angles in degrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modalities.image.shared.scenes import painting
from modalities.image.shared.scenes.shapes import (
    BOX,
    CYLINDER,
    RECTANGLE,
    SPHERE,
    SUPERQUADRIC,
    Floats,
    Integers,
)

Numbers = Sequence[float] | Floats

VIEW, HEIGHT, PITCH, ROLL = (45.0, 70.0), (1.0, 2.0), (5.0, 35.0), (-5.0, 5.0)
SIZES = (0.15, 0.8)  # of an object, its largest extent
NEAREST, FURTHEST = 1.0, 6.0  # where objects stand
TRIES = 30  # at a free place
RAISED = 0.2  # share of the objects that are stacked or float
ROOM = 0.5  # share of the scenes with walls
GAP = 0.02  # between objects
EXPONENTS = (0.3, 2.0)  # of superquadrics


@dataclass(frozen=True)
class Camera:
    """`frame` (3, 3) takes the camera's frame to the world's; `height` is above the floor."""

    view: float
    height: float
    pitch: float
    roll: float

    @property
    def frame(self) -> Floats:
        return turn(0, -self.pitch) @ turn(2, self.roll)

    def focal(self, side: int) -> float:
        """In pixels, of pictures of S."""
        return float(side / (2 * np.tan(np.deg2rad(self.view) / 2)))


@dataclass(frozen=True)
class Scene:
    """K shapes as arrays; see shapes.py and painting.py for the columns."""

    camera: Camera
    kinds: Integers  # (K,)
    shapes: Floats  # (K, COLUMNS)
    ids: Integers  # (K,), 0 for floor and walls
    materials: Floats  # (K, MATERIAL)
    lights: Floats  # (L, 6): where, and linear RGB
    ambient: float
    sky: Floats  # (2, 3)


@dataclass
class Placed:
    """An object while a scene is drawn: its plan is a circle."""

    kind: int
    size: Floats  # (3,), half sizes
    x: float
    z: float
    radius: float
    bottom: float  # height above the floor
    frame: Floats
    exponents: Floats
    flat: bool  # on top

    @property
    def half(self) -> float:
        """Half its height as it stands."""
        if self.kind == SPHERE:
            return float(self.size[0])
        return float(np.abs(self.frame[1]) @ self.size)  # of the box around it


def turn(axis: int, degrees: float) -> Floats:
    """The rotation about one axis, right-handed."""
    angle = np.deg2rad(degrees)
    found = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    found[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return found


def row(centre: Numbers, frame: Floats, size: Numbers, exponents: Numbers = (1, 1)) -> Floats:
    """One shape as a row of `Scene.shapes`, (COLUMNS,)."""
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in (centre, frame, size, exponents)])


def scene(rng: np.random.Generator, objects: Sequence[int], pictures: int) -> Scene:
    """A scene of `objects` from and to so many, fewer where no place is free. `pictures`: how many can be textures."""
    camera = Camera(*(float(rng.uniform(*between)) for between in (VIEW, HEIGHT, PITCH, ROLL)))
    placed: list[Placed] = []
    for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
        _place(rng, camera, placed)
    kinds = [RECTANGLE, *(thing.kind for thing in placed)]
    shapes = [row([0, camera.height, 0], np.eye(3), [np.inf, 0, np.inf])]
    for thing in placed:
        centre = [thing.x, camera.height - thing.bottom - thing.half, thing.z]
        shapes.append(row(centre, thing.frame, thing.size, thing.exponents))
    ids = [0, *range(1, len(placed) + 1)]
    indoors = bool(rng.random() < ROOM)
    if indoors:
        walls = _walls(rng, camera, placed)
        kinds += [RECTANGLE] * len(walls)
        shapes += walls
        ids += [0] * len(walls)
    return Scene(
        camera,
        np.array(kinds, np.int64),
        np.stack(shapes),
        np.array(ids, np.int64),
        np.stack([_material(rng, pictures) for _ in kinds]),
        _lights(rng, indoors),
        float(rng.uniform(0.2, 0.5)),
        np.sort(rng.uniform(0.2, 1.0, (2, 3)), axis=0),
    )


def _thing(rng: np.random.Generator) -> Placed:
    kind = int(rng.choice([SPHERE, BOX, CYLINDER, SUPERQUADRIC]))
    half = rng.uniform(*SIZES) / 2
    size = half * np.append(1.0, rng.uniform(0.35, 1.0, 2))[rng.permutation(3)]
    if kind == SPHERE:
        size[:] = half
    if kind == CYLINDER:
        size[2] = size[0]
        size *= half / size.max()
    radius = float(size[0]) if kind in (SPHERE, CYLINDER) else float(np.hypot(size[0], size[2]))
    exponents = rng.uniform(*EXPONENTS, 2) if kind == SUPERQUADRIC else np.ones(2)
    frame = turn(1, float(rng.uniform(0, 360)))
    return Placed(kind, size, 0.0, 0.0, radius, 0.0, frame, exponents, kind in (BOX, CYLINDER))


def _place(rng: np.random.Generator, camera: Camera, placed: list[Placed]) -> None:
    """Add an object: on another, floating, or on the floor; nothing where no place is free."""
    thing = _thing(rng)
    if rng.random() < RAISED:
        below = [other for other in placed if other.flat and other.radius > 0.6 * thing.radius]
        if below and rng.random() < 0.5:
            under = below[int(rng.integers(len(below)))]
            thing.x, thing.z, thing.bottom = under.x, under.z, under.bottom + 2 * under.half
            under.flat = False  # taken
            placed.append(thing)
            return
        thing.frame = _any_turn(rng)
        thing.radius = float(np.linalg.norm(thing.size)) if thing.kind != SPHERE else float(thing.size[0])
        thing.bottom = float(rng.uniform(0.2, 0.8))
        thing.flat = False
    for _ in range(TRIES):
        thing.x, thing.z = _spot(rng, camera)
        apart = [np.hypot(thing.x - o.x, thing.z - o.z) - thing.radius - o.radius for o in placed]
        if np.hypot(thing.x, thing.z) - thing.radius > NEAREST / 2 and min(apart, default=GAP) >= GAP:
            placed.append(thing)
            return


def _spot(rng: np.random.Generator, camera: Camera) -> tuple[float, float]:
    """A place on the floor that the camera sees, any pixel as likely as another, neither too near nor too far."""
    while True:
        u, v = rng.uniform(-0.9, 0.9, 2) * np.tan(np.deg2rad(camera.view) / 2)
        ray = camera.frame @ np.array([u, v, 1.0])
        if ray[1] > 0:
            t = camera.height / ray[1]
            if NEAREST < t < FURTHEST:
                return float(t * ray[0]), float(t * ray[2])


def _any_turn(rng: np.random.Generator) -> Floats:
    """A rotation, all as likely."""
    frame, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    frame = frame * np.sign(np.diag(upper))
    return np.asarray(frame * np.linalg.det(frame))


def _walls(rng: np.random.Generator, camera: Camera, placed: list[Placed]) -> list[Floats]:
    """Left, right and back, around all objects and the camera, in a room that is turned a little."""
    room = turn(1, float(rng.uniform(-20, 20)))
    reach = np.array([[thing.radius] for thing in placed]).reshape(-1, 1)
    where = (
        np.array([[thing.x, 0.0, thing.z] for thing in placed]).reshape(-1, 3) @ room
    )  # in the room's frame
    left = min(-0.5, float((where[:, :1] - reach).min(initial=0))) - float(rng.uniform(0.1, 1.2))
    right = max(0.5, float((where[:, :1] + reach).max(initial=0))) + float(rng.uniform(0.1, 1.2))
    back = max(2.0, float((where[:, 2:] + reach).max(initial=0))) + float(rng.uniform(0.1, 1.5))
    tall = float(rng.uniform(2.4, 3.2)) / 2
    middle = camera.height - tall
    across = room @ np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])  # a rectangle that stands and looks along z
    along = room @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # and along x
    deep, wide = (back + 3) / 2, (right - left) / 2
    return [
        row(room @ np.array([(left + right) / 2, middle, back]), across, [wide, 0, tall]),
        row(room @ np.array([left, middle, back - deep]), along, [deep, 0, tall]),
        row(room @ np.array([right, middle, back - deep]), along, [deep, 0, tall]),
    ]


def _material(rng: np.random.Generator, pictures: int) -> Floats:
    found = np.empty(painting.MATERIAL)
    found[painting.PATTERN] = rng.integers(painting.PICTURE + (pictures > 0))
    found[painting.FREQUENCY] = np.exp(rng.uniform(np.log(1.5), np.log(8)))
    found[painting.FIRST : painting.SECOND] = rng.uniform(0.05, 0.95, 3) ** 1.5
    found[painting.SECOND : painting.SHINE] = rng.uniform(0.05, 0.95, 3) ** 1.5
    found[painting.SHINE] = rng.uniform(0, 0.5)
    found[painting.SHARPNESS] = np.exp(rng.uniform(np.log(5), np.log(60)))
    found[painting.NUMBER] = rng.integers(2**16)
    return found


def _lights(rng: np.random.Generator, indoors: bool) -> Floats:
    """One to three of about the same colour, above the camera or a little below; indoors between the walls."""
    count = int(rng.integers(1, 4))
    low, high = ([-0.5, -2.0, -0.8], [0.5, 0.2, 1.5]) if indoors else ([-3, -4, -2], [3, -0.5, 3])
    bright = rng.uniform(0.5, 1.0, (count, 1)) / count
    return np.concatenate([rng.uniform(low, high, (count, 3)), bright * rng.uniform(0.8, 1.0, (count, 3))], 1)
