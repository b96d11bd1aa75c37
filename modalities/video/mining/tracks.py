"""Patches that move on their own, and where they are a second later: pairs for tracking.

Wang and Gupta, ICCV 2015, arXiv:1505.00687, with parts that opencv maintains: SIFT for SURF, a homography for improved
dense trajectories, and median flow (Kalal et al. 2010) for the KCF tracker.
Boxes are (top, left, height, width) in pixels of the stored frames: squares that never leave the frame, so nothing is
padded.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.video.mining import points
from modalities.video.mining.motion import Frames, Shots, gray
from modalities.video.mining.points import BACK, LEAST_POINTS, Points

Box = NDArray[np.float32]  # (4,)

LOST = 2.0  # pixels of the median round trip beyond which a box is lost
APART = 1.0  # seconds between the starts of two tracks of a video
LOOK = 0.16  # seconds over which motion is judged: shorter, and the noise of tracking looks like motion


@dataclass(frozen=True)
class Rule:
    """How tracks are found: the names of `tracking.build`, in seconds and short sides of the frame."""

    every: float
    moving: float
    least: float  # share of a frame's points that must move: fewer is noise
    most: float  # more, and no homography explains the camera
    box: float
    seconds: float
    per_video: int


@dataclass(frozen=True)
class Track:
    frame0: int
    box0: Box
    frame1: int
    box1: Box
    moving: float  # share of the points of frame0 that moved on their own
    points: int  # that lived to the end
    error: float  # pixels, mean over the steps of the median round trip


def mine(frames: Frames, fps: float, shots: Shots, rule: Rule) -> list[Track]:
    """Tracks of one video, (F, H, W, 3), in order of time."""
    found: list[Track] = []
    step, apart = max(1, round(rule.every * fps)), APART * fps - 1e-6
    for start, stop in shots:
        if stop - start <= round(rule.seconds * fps):
            continue
        shot = gray(frames[start:stop], min(frames.shape[1:3]))
        for k in range(0, stop - start - round(rule.seconds * fps), step):
            if found and start + k - found[-1].frame0 < apart:
                continue
            track = _track(shot, k, fps, rule)
            if track is not None:
                found.append(replace(track, frame0=track.frame0 + start, frame1=track.frame1 + start))
    # Of too many, those that lie evenly over the video.
    keep = np.linspace(0, len(found) - 1, min(rule.per_video, len(found))).round().astype(int)
    return [found[k] for k in keep]


def _track(shot: list[Frames], k: int, fps: float, rule: Rule) -> Track | None:
    """The box of frame k that moves most, followed to the end; None where nothing does or it is lost."""
    found = start(shot, k, fps, rule)
    if found is None:
        return None
    box, inside, share = found
    steps, errors, now = round(rule.seconds * fps), [], box
    for j in range(k, k + steps):
        there, off = points.follow(shot[j], shot[j + 1], inside)
        median = float(np.median(off))
        live = off < BACK
        if live.sum() < LEAST_POINTS or not median <= LOST:
            return None
        now = advance(now, inside[live], there[live])
        if not _within(now, shot[j].shape):
            return None
        inside = there[live]
        errors.append(median)
    return Track(k, box, k + steps, now, share, len(inside), float(np.mean(errors)))


def start(shot: list[Frames], k: int, fps: float, rule: Rule) -> tuple[Box, Points, float] | None:
    """The box of frame k with most points that move on their own, those points, and the share of points that move.

    None where there are too few of them, or where too small or too large a share moves.
    """
    look = max(1, int(np.ceil(LOOK * fps - 1e-6)))
    if k + look >= len(shot):
        return None
    here = points.interest(shot[k])
    there, off = points.follow(shot[k], shot[k + look], here)
    sure = off < BACK
    here, there = here[sure], there[sure]
    side = min(shot[k].shape)
    moves = points.on_their_own(here, there, rule.moving, look / fps, side)
    if moves is None or moves.sum() < LEAST_POINTS or not rule.least <= moves.mean() <= rule.most:
        return None
    box = densest(here[moves], shot[k].shape, round(rule.box * side))
    inside = here[moves][_holds(box, here[moves])]
    if len(inside) < LEAST_POINTS:
        return None
    return box, inside, float(moves.mean())


def densest(found: Points, shape: Any, side: int) -> Box:
    """The square of this side in a frame (H, W) that holds most points; of several alike, the middle one."""
    import cv2

    height, width = shape
    count = np.zeros((height + 1, width + 1), np.int64)
    x, y = np.floor(found).astype(int).T.clip(0, [[width - 1], [height - 1]])
    np.add.at(count, (y + 1, x + 1), 1)
    total = count.cumsum(0).cumsum(1)  # an integral image
    held = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    # Best squares may lie in two places, and the middle of both be nowhere: the larger group alone has a middle.
    _, group = cv2.connectedComponents((held == held.max()).astype(np.uint8))
    top, left = np.nonzero(group == np.bincount(group.ravel())[1:].argmax() + 1)
    return np.array([top.mean(), left.mean(), side, side], np.float32)


def advance(box: Box, before: Points, after: Points) -> Box:
    """The box after its points moved, by median flow: shifted by the median displacement, and scaled about its middle
    by the median ratio of the distances between points."""
    across, down = np.median(after - before, axis=0)
    one, other = np.triu_indices(len(before), 1)
    was = np.linalg.norm(before[one] - before[other], axis=1)
    scale = float(np.median(np.linalg.norm(after[one] - after[other], axis=1)[was > 0] / was[was > 0]))
    top, left, height, width = box
    grown = (scale - 1) * height / 2
    return np.array([top + down - grown, left + across - grown, scale * height, scale * width], np.float32)


def _holds(box: Box, found: Points) -> NDArray[np.bool_]:
    top, left, height, width = box
    x, y = found.T
    return np.asarray((y >= top) & (y < top + height) & (x >= left) & (x < left + width))


def _within(box: Box, shape: Any) -> bool:
    top, left, height, width = box
    return bool(min(top, left) >= 0 and top + height <= shape[0] and left + width <= shape[1])


def cut(frame: Frames, box: Box, side: int) -> Frames:
    """A box of a frame (H, W, 3), to whole pixels, as (side, side, 3): averaged where shrunk, linear where grown."""
    import cv2

    height, width = frame.shape[:2]
    size = max(1, min(round(float(box[2])), height, width))
    top = min(max(round(float(box[0])), 0), height - size)
    left = min(max(round(float(box[1])), 0), width - size)
    patch = np.ascontiguousarray(frame[top : top + size, left : left + size])
    how = cv2.INTER_AREA if size > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(patch, (side, side), interpolation=how), np.uint8)


def patches(frames: Frames, track: Track, side: int) -> Frames:
    """The first and the last patch of a track, (2, side, side, 3)."""
    ends = ((track.frame0, track.box0), (track.frame1, track.box1))
    return np.stack([cut(frames[k], box, side) for k, box in ends])
