"""Toy videos made in memory: a bright sprite over a textured ground, whose way is the class."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import modalities
from modalities.base import Pretext
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames, encoder
from modalities.video.marks import Marks, pack
from stages import cli
from tests.conftest import params, toy_keys

KINDS = ["still", "right", "down", "circle"]
SPRITE = 8  # pixels, its side
FPS = 12.0


def way(kind: str, t: NDArray[np.float64], room: NDArray[np.int64]) -> NDArray[np.float64]:
    """(T, 2): top and left of the sprite at these shares of the clip; `room` is how far each may go."""
    middle = np.full_like(t, 0.5)
    down, across = {
        "still": (middle, middle),
        "right": (middle, t),
        "down": (t, middle),
        "circle": (0.5 + 0.5 * np.sin(2 * np.pi * t), 0.5 + 0.5 * np.cos(2 * np.pi * t)),
    }[kind]
    return np.stack([down, across], 1) * room


def videos(count: int, frames: int = 16, side: int = 24, seed: int = 0) -> Videos:
    """`count` videos in two shards, lying and standing in turn (side x 4/3 side), a quarter of them for testing.

    Every frame has a mask of the sprite (1) and two joints, its centre and its top left corner. Every fifth video has
    two shots, the second over another ground.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(KINDS)
    sizes = np.array([(side, side * 4 // 3) if k // 4 % 2 else (side * 4 // 3, side) for k in range(count)])
    made, masks, points, shots = [], {}, {}, []
    for k, label in enumerate(labels):
        clip, place = _clip(rng, KINDS[label], frames, sizes[k], two=k % 5 == 4)
        made.append(clip)
        shots.append(np.array([[0, frames // 2], [frames // 2, frames]] if k % 5 == 4 else [[0, frames]]))
        for t, (top, left) in enumerate(place):
            mask = np.zeros(sizes[k], np.uint8)
            mask[top : top + SPRITE, left : left + SPRITE] = 1
            masks[f"{k:04x}", t] = mask
            points[f"{k:04x}", t] = np.array([[left + SPRITE / 2 - 0.5, top + SPRITE / 2 - 0.5], [left, top]])
    half = count // 2
    starts = np.array([[0, 0] if k in (0, half) else [0, made[k - 1].size] for k in range(count)])
    where = np.stack([np.arange(count) // half, starts[:, 1]], 1)
    for part in (slice(0, half), slice(half, count)):
        where[part, 1] = np.cumsum(where[part, 1])
    packed, places = pack(masks)
    return Videos(
        shards=[np.concatenate([clip.ravel() for clip in part]) for part in (made[:half], made[half:])],
        ids=[f"{k:04x}" for k in range(count)],
        labels=labels.astype(np.int64),
        splits=np.array(["test" if k // 4 % 4 == 3 else "train" for k in range(count)]),
        classes=KINDS,
        groups=[f"group {k // 2}" for k in range(count)],
        sources=[f"{KINDS[label]}/{k}.mp4" for k, label in enumerate(labels)],
        fps=np.full(count, FPS),
        counts=np.full(count, frames),
        sizes=sizes,
        originals=sizes,
        shots=shots,
        where=where,
        marks=Marks(np.frombuffer(packed, np.uint8), places, points, ["centre", "corner"]),
    )


def _clip(
    rng: np.random.Generator, kind: str, frames: int, size: NDArray[np.int64], two: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(T, H, W, 3) and (T, 2) of top, left."""
    grounds = [
        np.kron(rng.integers(0, 90, (*-(-size // 4), 3)), np.ones((4, 4, 1)))[: size[0], : size[1]]
        for _ in range(2)
    ]
    sprite = rng.integers(120, 256, (2, 2, 3)).repeat(SPRITE // 2, 0).repeat(SPRITE // 2, 1)
    place = np.rint(way(kind, np.linspace(0, 1, frames), size - SPRITE)).astype(np.int64)
    clip = np.empty((frames, *size, 3), np.uint8)
    for t, (top, left) in enumerate(place):
        clip[t] = grounds[int(two and t >= frames // 2)]
        clip[t, top : top + SPRITE, left : left + SPRITE] = sprite
    return clip, place


def tiny(norm: Any = "batch", side: int = 16, motion: float = 2.0) -> Frames:
    """A ResNet-18 eight channels wide that reads four frames."""
    torch.manual_seed(0)
    keys: Any = {"arch": "resnet18", "width": 8, "stem": "3x3", "norm": norm, "side": side, "stride": 8}
    return encoder(**keys, frames=4, motion=motion)


def make(method: str, corpus: Videos, built: Path, *, norm: Any = "batch", side: int = 16) -> Pretext:
    """A pretext of videos with the blocks of params.yaml, on a tiny encoder, built in a folder."""
    job, toy = cli.job(params(), "video", method), toy_keys(method, "video")
    kind = modalities.pretext("video", method)
    if "corpus" in toy:  # a method that these videos are too small for has its own
        corpus = toy["corpus"]["make"]().only("train")
    built.mkdir(parents=True, exist_ok=True)
    kind.build(corpus, built, seed=0, **(job.params["build"] | toy.get("build", {})))
    return kind(tiny(norm, side), corpus, built, **(job.params["model"] | toy.get("model", {})))


ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "../shared/data"
