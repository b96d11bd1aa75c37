"""Pictures of what was carried along videos, a row of frames each: filled is predicted, white is true."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.video.propagation.davis_measures import boundary
from modalities.video.shared import sheet

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Row = tuple[str, list[sheet.Cell]]
COLUMNS = 6
WHITE = (255, 255, 255)
COLOURS = ((235, 64, 52), (66, 135, 245), (67, 190, 85), (240, 180, 30), (170, 80, 220), (30, 190, 200))


def write(out: Path | None, what: str, name: str, rows: Sequence[Row]) -> None:
    """One picture a set of videos: masks.png, masks-davis.png."""
    if out is not None and rows:
        sheet.write(out / f"{what}{f'-{name}' if name else ''}.png", rows)


def masks(source: str, frames: Pixels, predicted: Pixels, truth: Pixels) -> Row:
    """Of (T, H, W, 3) and (T, H', W')."""
    cells = []
    for t in spread_over(len(frames)):
        picture = enlarged(frames[t])
        size = (picture.shape[1], picture.shape[0])
        for k in np.unique(truth[0][truth[0] > 0]):
            mine, theirs = (
                cv2.resize((labels[t] == k).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
                for labels in (predicted, truth)
            )
            picture[mine] = 0.5 * picture[mine] + 0.5 * np.array(colour(int(k) - 1))
            picture[boundary(theirs[None])[0]] = WHITE
        cells.append(sheet.Cell(picture, f"frame {t}" if t else "frame 0, given"))
    return Path(source).name, cells


def joints(source: str, frames: Pixels, predicted: Points, truth: Points, size: Index) -> Row:
    """Of (T, H, W, 3) and (T, J, 2) in pixels of pictures of `size`, (height, width)."""
    cells = []
    for t in spread_over(len(frames)):
        picture = enlarged(frames[t])
        scale = picture.shape[0] / size[0]
        for points, thickness in ((predicted, cv2.FILLED), (truth, 1)):
            for k in np.flatnonzero(np.isfinite(points[t].sum(1))).tolist():
                x, y = np.round((points[t, k] + 0.5) * scale).astype(int).tolist()
                cv2.circle(picture, (x, y), 3, colour(k) if thickness < 0 else WHITE, thickness)
        cells.append(sheet.Cell(picture, f"frame {t}" if t else "frame 0, given"))
    return Path(source).name, cells


def boxes(source: str, start: Pixels, box: Points, end: Pixels, found: Points, truth: Points) -> Row:
    """The patch in one frame, and in a later one where it was found and where it is."""
    first = framed(enlarged(start), box, start.shape[0], WHITE)
    last = framed(enlarged(end), truth, end.shape[0], WHITE)
    cells = [sheet.Cell(first, "asked"), sheet.Cell(framed(last, found, end.shape[0], COLOURS[0]), "found")]
    return Path(source).name, cells


def framed(picture: Pixels, box: Points, height: int, shade: tuple[int, int, int]) -> Pixels:
    """A picture of a frame `height` pixels high, with a box (top, left, height, width) of that frame drawn on it."""
    scale = picture.shape[0] / height
    top, left, high, wide = np.round(box * scale).astype(int).tolist()
    cv2.rectangle(picture, (left, top), (left + wide - 1, top + high - 1), shade, 2)
    return picture


def enlarged(frame: Pixels) -> Pixels:
    """As high as the sheet shows it, so that what is drawn on it is not resized."""
    width = round(frame.shape[1] * sheet.HEIGHT / frame.shape[0])
    how = cv2.INTER_AREA if frame.shape[0] > sheet.HEIGHT else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (width, sheet.HEIGHT), interpolation=how), np.uint8)


def spread_over(frames: int) -> list[int]:
    """COLUMNS frames from the first to the last."""
    return sorted({round(t) for t in np.linspace(0, frames - 1, COLUMNS).tolist()})


def colour(k: int) -> tuple[int, int, int]:
    return COLOURS[k % len(COLOURS)]
