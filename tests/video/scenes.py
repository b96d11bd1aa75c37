"""Videos whose truth is known by construction, and encoders that tell all that is in them apart."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.video.corpus import Videos
from modalities.video.marks import Marks, pack

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]


class Colours(Encoder):
    """Places 8 pixels apart by their colour; a vector is all pixels, each channel about its mean."""

    dim = 3 * 16 * 16
    side = 16

    def maps(self, x: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(x, 8)]

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)).flatten(1)


class NoMaps(Colours):
    def maps(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError


class WithTask(Videos):
    """A corpus that has another one as its further set `davis`."""

    other: Videos

    def tasks(self) -> dict[str, Videos]:
        return {"davis": self.other}


def scene(
    clips: Sequence[Pixels], masks: Sequence[Pixels] = (), joints: Sequence[Points] = (), fps: float = 6.0
) -> Videos:
    """Held-out videos, (T, H, W, 3) each, with masks (T, H', W') and joints (T, J, 2) where they are given."""
    count = len(clips)
    packed, places = pack({(f"{v:02}", t): m for v, clip in enumerate(masks) for t, m in enumerate(clip)})
    points = {(f"{v:02}", t): p for v, clip in enumerate(joints) for t, p in enumerate(clip)}
    names = [f"joint {k}" for k in range(joints[0].shape[1])] if joints else []
    sizes = np.array([clip.shape[1:3] for clip in clips])
    return Videos(
        shards=[np.concatenate([clip.ravel() for clip in clips])],
        ids=[f"{k:02}" for k in range(count)],
        labels=np.full(count, -1),
        splits=np.array(["test"] * count),
        classes=[],
        groups=[f"{k}" for k in range(count)],
        sources=[f"clips/{k}.mp4" for k in range(count)],
        fps=np.full(count, fps),
        counts=np.array([len(clip) for clip in clips]),
        sizes=sizes,
        originals=np.array([clip.shape[1:3] for clip in masks]) if masks else sizes,
        shots=[np.array([[0, len(clip)]]) for clip in clips],
        where=np.stack(
            [np.zeros(count, np.int64), np.cumsum([0, *(clip.size for clip in clips[:-1])])], axis=1
        ),
        marks=Marks(np.frombuffer(packed, np.uint8), places, points, names) if masks or joints else None,
    )


def alone(made: tuple[Pixels, Pixels]) -> Videos:
    """A corpus of one video with its masks."""
    return scene([made[0]], [made[1]])


def beside(corpus: Videos, other: Videos) -> WithTask:
    """`corpus` with `other` as its further set davis."""
    found = WithTask(**{name: getattr(corpus, name) for name in corpus.__dataclass_fields__})
    object.__setattr__(found, "other", other)
    return found


def in_training(corpus: Videos) -> Videos:
    return replace(corpus, splits=np.full(len(corpus), "train"))


def bars(frames: int = 6, step: int = 8, wide: int = 16) -> tuple[Pixels, Pixels]:
    """A blue bar, as high as the frame of 64 x 96, that walks to the right over red: clip and masks."""
    clip, masks = np.zeros((frames, 64, 96, 3), np.uint8), np.zeros((frames, 64, 96), np.uint8)
    clip[..., 0] = 255
    for t in range(frames):
        clip[t, :, 8 + t * step : 8 + t * step + wide] = (0, 0, 255)
        masks[t, :, 8 + t * step : 8 + t * step + wide] = 1
    return clip, masks


def texture(seed: int, height: int, width: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (7, 7), 2)
    return np.asarray(cv2.normalize(smooth, np.empty(0), 0, 255, cv2.NORM_MINMAX), np.uint8)


def sprites(frames: int = 7, step: tuple[int, int] = (2, 4), side: int = 24) -> tuple[Pixels, Pixels]:
    """A textured square that moves over another texture, a second and more at 6 frames a second: clip and masks."""
    clip = np.repeat(texture(1, 64, 96)[None], frames, 0)
    masks = np.zeros((frames, 64, 96), np.uint8)
    for t in range(frames):
        place = np.s_[t, 8 + t * step[0] : 8 + t * step[0] + side, 16 + t * step[1] : 16 + t * step[1] + side]
        clip[place] = texture(2, side, side)
        masks[place] = 1
    return clip, masks
