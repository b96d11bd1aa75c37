"""Masks and joints of held-out videos, carried from the first frame by whatever is judged, against the truth.

T frames; the first mask or set of joints is given, the rest is asked for.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.video.corpus import Videos
from modalities.video.propagation import davis_measures, drawing, pck

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
CarryMask = Callable[[Pixels, Pixels], Pixels]  # (T, H, W, 3), (H', W') of frame 0 -> (T, H', W')
CarryPoints = Callable[
    [Pixels, Points], Points
]  # (T, H, W, 3), (J, 2) shares -> (T, J, 2) shares of the sides
Numbers = dict[str, float]
ALPHAS = (0.1, 0.2)  # of PCK
SHOWN = 3  # videos of a set that are drawn


def masks(corpus: Videos, limit: int, carry: CarryMask, out: Path | None) -> dict[str, Numbers]:
    """J and F of each set of videos that has masks, "" for the corpus itself: means over objects of all its videos.

    A video's first and last marked frame do not count, nor do objects that the first one does not show.
    """
    found = {}
    for name, videos in sets(corpus):
        objects, rows = [], list[drawing.Row]()
        for video, at in marked(videos, "masks", limit, least=3):
            frames = videos.clip(video, at[0], at[-1] + 1)
            truth = np.stack([mask for t in at if (mask := videos.masks(video, t)) is not None])
            predicted = carry(frames, truth[0])[at - at[0]]
            for k in np.unique(truth[0][truth[0] > 0]):
                mine, theirs = predicted[1:-1] == k, truth[1:-1] == k
                objects.append(
                    davis_measures.summary(davis_measures.region(mine, theirs))
                    + davis_measures.summary(davis_measures.contour(mine, theirs))
                )
            if len(rows) < SHOWN:
                rows.append(drawing.masks(videos.sources[video], frames[at - at[0]], predicted, truth))
        if objects:
            j, j_recall, j_decay, f, f_recall, f_decay = np.mean(objects, 0).tolist()
            found[name] = {
                "J&F": (j + f) / 2, "J": j, "F": f, "J recall": j_recall, "F recall": f_recall,
                "J decay": j_decay, "F decay": f_decay,
            }  # fmt: skip
            drawing.write(out, "masks", name, rows)
    return found


def joints(corpus: Videos, limit: int, carry: CarryPoints, out: Path | None) -> dict[str, Numbers]:
    """PCK of each set of videos that has joints, "" for the corpus itself: means over joints of all its videos.

    A joint that was not found is wrong; "found" leaves it out, as the reference code does. One that the first frame
    does not show is not asked for.
    """
    found = {}
    for name, videos in sets(corpus):
        relative, rows = [], list[drawing.Row]()
        for video, at in marked(videos, "joints", limit, least=2):
            frames, size = videos.clip(video, at[0], at[-1] + 1), videos.originals[video]
            truth = np.stack([points for t in at if (points := videos.joints(video, t)) is not None])
            truth[:, np.isnan(truth[0].sum(1))] = np.nan
            predicted = pck.pixels(carry(frames, pck.shares(truth[0], size))[at - at[0]], size)
            relative.append(pck.distances(predicted, truth))
            if len(rows) < SHOWN:
                rows.append(drawing.joints(videos.sources[video], frames[at - at[0]], predicted, truth, size))
        if relative:
            every = np.concatenate(relative)
            found[name] = {f"PCK@{alpha}": pck.correct(every, alpha, missing=True) for alpha in ALPHAS}
            if np.isfinite(every).any():
                found[name] |= {f"PCK found@{a}": pck.correct(every, a, missing=False) for a in ALPHAS}
            drawing.write(out, "joints", name, rows)
    return found


def sets(corpus: Videos) -> Iterator[tuple[str, Videos]]:
    """("", the held-out videos), then each further labelled set by its name, whole: nothing is trained on those."""
    yield "", corpus.take(np.flatnonzero(corpus.splits == "test"))
    yield from corpus.tasks().items()


def marked(
    videos: Videos, kind: Literal["masks", "joints"], limit: int, least: int
) -> Iterator[tuple[int, Index]]:
    """(video, its marked frames) of the first `limit` videos by id, 0: all.

    Frames count from the first on that shows anything. Videos with fewer than `least` such frames are passed over.
    """
    if videos.marks is None:
        return
    frames: dict[str, list[int]] = {}
    for name, frame in videos.marks.places if kind == "masks" else videos.marks.points:
        frames.setdefault(name, []).append(frame)
    given = 0
    for video in sorted(range(len(videos)), key=videos.ids.__getitem__):
        at = np.array(sorted(frames.get(videos.ids[video], [])), np.int64)
        shows = next((k for k, t in enumerate(at) if _shows(videos, kind, video, int(t))), len(at))
        if len(at) - shows >= least:
            yield video, at[shows:]
            given += 1
            if given == limit:
                return


def _shows(videos: Videos, kind: str, video: int, frame: int) -> bool:
    found = videos.masks(video, frame) if kind == "masks" else videos.joints(video, frame)
    return found is not None and bool((found > 0).any() if kind == "masks" else np.isfinite(found).any())


def by_set(found: dict[str, Numbers]) -> Numbers:
    """As a transfer returns them: `J&F`, and `davis/J&F` for the set davis."""
    return {
        f"{name}/{metric}" if name else metric: value
        for name, numbers in found.items()
        for metric, value in numbers.items()
    }


def by_task(task: str, found: dict[str, Numbers]) -> Numbers:
    """As a baseline returns them: `propagation.J&F`, and `propagation (davis).J&F` for the set davis."""
    return {
        f"{task} ({name}).{metric}" if name else f"{task}.{metric}": value
        for name, numbers in found.items()
        for metric, value in numbers.items()
    }
