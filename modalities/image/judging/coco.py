"""Average precision of boxes as COCO has it (Lin et al. 2014, arXiv:1405.0312), by its own code, pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.image.judging.marked import Boxes


@dataclass(frozen=True)
class Found:
    """What a detector says of one picture: n boxes in any order."""

    edges: NDArray[np.float32]  # (n, 4): left, top, right, bottom
    classes: Index  # (n,)
    scores: NDArray[np.float32]  # (n,)


def average_precision(truth: Sequence[Boxes], found: Sequence[Found]) -> dict[str, float]:
    """AP (mean over the overlaps .5, .55 ... .95), AP50 and AP75, means over the classes that the truth has.

    At most 100 boxes a picture count, those of the highest scores. Hard objects are COCO's crowds: whoever finds them
    is neither right nor wrong. Raises ValueError where there is nothing to find.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not any((~boxes.hard).any() for boxes in truth):
        raise ValueError("average precision needs a picture with a box that is not hard")
    answers = [_rows(number, each) for number, each in enumerate(found, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
        real = COCO()
        real.dataset = _dataset(truth)
        real.createIndex()
        rows = np.concatenate(answers)
        if not len(rows):
            return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
        judge = COCOeval(real, real.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: float(judge.stats[k]) for k, name in enumerate(("AP", "AP50", "AP75"))}


def _rows(number: int, found: Found) -> NDArray[np.float64]:
    """(n, 7): number of the picture, left, top, width, height, score, class from 1 up."""
    edges = found.edges.astype(np.float64)
    size = edges[:, 2:] - edges[:, :2]
    picture = np.full(len(edges), float(number))
    return np.column_stack([picture, edges[:, :2], size, found.scores, found.classes + 1])


def _dataset(truth: Sequence[Boxes]) -> dict[str, list[dict[str, Any]]]:
    notes: list[dict[str, Any]] = []
    for number, boxes in enumerate(truth, 1):
        for edges, kind, hard in zip(boxes.edges.astype(np.float64), boxes.classes, boxes.hard, strict=True):
            width, height = (edges[2:] - edges[:2]).tolist()
            box = {"bbox": [*edges[:2].tolist(), width, height], "area": width * height, "iscrowd": int(hard)}
            notes.append(box | {"id": len(notes) + 1, "image_id": number, "category_id": int(kind) + 1})
    kinds = sorted({note["category_id"] for note in notes})
    return {
        "images": [{"id": number} for number in range(1, len(truth) + 1)],
        "annotations": notes,
        "categories": [{"id": kind, "name": str(kind)} for kind in kinds],
    }
