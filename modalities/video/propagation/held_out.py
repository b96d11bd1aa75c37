"""Patches of held-out videos and where they are a second later: what localisation asks for.

Where masks say where objects are, these are the boxes around them; elsewhere, tracks that are mined as for `tracking`.
Boxes are (top, left, height, width) in pixels of the stored frames.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalities.video.corpus import Videos
from modalities.video.mining.tracks import Rule, mine
from modalities.video.propagation import drawing, search
from modalities.video.propagation.judging import SHOWN, Numbers, marked, sets

Pixels = NDArray[np.uint8]
Box = NDArray[np.float64]  # (4,)
Locate = Callable[[Pixels, Box, Pixels], Box]  # a frame, a box of it, a later frame -> the box there
# The settings of the paper, whatever `tracking` is built with: every encoder is asked about the same patches.
RULE = Rule(every=0.5, moving=0.033, least=0.25, most=0.75, box=0.5, seconds=1.0, per_video=20)
LEAST = 1 / 6  # of the frame's short side: smaller objects say little, and there are very many places to try
ENOUGH = 0.5  # intersection over union


class Track(NamedTuple):
    video: int
    frame0: int
    box0: Box
    frame1: int
    box1: Box


def boxes(corpus: Videos, limit: int, locate: Locate, out: Path | None) -> dict[str, Numbers]:
    """How well the first `limit` tracks, 0: all, of each set of videos are found, "" for the corpus itself.

    "IoU@0.5": the share of boxes found with at least that overlap. "centre error": the mean distance of centres, in
    sides of the box.
    """
    found = {}
    for name, videos in sets(corpus):
        asked = exact(videos, limit) or mined(videos, limit)
        answers, rows = [], list[drawing.Row]()
        for track in asked:
            start, end = (videos.clip(track.video, t, t + 1)[0] for t in (track.frame0, track.frame1))
            answers.append(locate(start, track.box0, end))
            if len(rows) < SHOWN:
                source = videos.sources[track.video]
                rows.append(drawing.boxes(source, start, track.box0, end, answers[-1], track.box1))
        if asked:
            mine, truth = np.stack(answers), np.stack([track.box1 for track in asked])
            found[name] = {
                f"IoU@{ENOUGH}": float((search.overlap(mine, truth) >= ENOUGH).mean()),
                "centre error": float(search.astray(mine, truth).mean()),
            }
            drawing.write(out, "boxes", name, rows)
    return found


def exact(videos: Videos, limit: int) -> list[Track]:
    """An object a track: its box in the first marked frame, and in the marked one that is nearest to a second later."""
    found: list[Track] = []
    for video, at in marked(videos, "masks", 0, least=2):
        frame0 = int(at[0])
        frame1 = int(at[np.abs(at - frame0 - RULE.seconds * videos.fps[video]).argmin()])
        if limit and len(found) >= limit:
            break
        start, end = videos.masks(video, frame0), videos.masks(video, frame1)
        if start is None or end is None or frame1 == frame0:
            continue
        for k in np.unique(start[start > 0]):
            if (end == k).any():
                box0, box1 = (around(mask == k, videos.sizes[video]) for mask in (start, end))
                if box0[2:].min() >= LEAST * videos.sizes[video].min():
                    found.append(Track(video, frame0, box0, frame1, box1))
    return found[: limit or None]


def around(mask: NDArray[np.bool_], size: NDArray[np.int64]) -> Box:
    """The box around a mask, (H', W'), in pixels of frames of `size`, (height, width)."""
    low, high = (pick(np.argwhere(mask), axis=0) for pick in (np.min, np.max))
    scale = size / mask.shape
    return np.concatenate([low * scale, (high + 1 - low) * scale])


def mined(videos: Videos, limit: int) -> list[Track]:
    """Patches that move on their own, from the first videos by id."""
    found: list[Track] = []
    for video in sorted(range(len(videos)), key=videos.ids.__getitem__):
        if limit and len(found) >= limit:
            break
        shots = [(int(start), int(stop)) for start, stop in videos.shots[video]]
        for each in mine(videos.clip(video), float(videos.fps[video]), shots, RULE):
            box0, box1 = (box.astype(np.float64) for box in (each.box0, each.box1))
            found.append(Track(video, each.frame0, box0, each.frame1, box1))
    return found[: limit or None]
