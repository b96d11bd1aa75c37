"""Pictures of a task for people: strips of frames, one video a row."""

from pathlib import Path

import numpy as np

from modalities.base import Index
from modalities.image.shared import preview
from modalities.video.augment import squares, uniform
from modalities.video.corpus import Videos

ROWS = 6
COLUMNS = 8


def some(corpus: Videos, rng: np.random.Generator, count: int = ROWS) -> Index:
    """A few videos to show, drawn without repeats."""
    return np.sort(rng.permutation(len(corpus))[:count])


def videos(out: Path, corpus: Videos, rng: np.random.Generator) -> None:
    """Write a .png with a strip of frames of a few videos, beside the name of their class where they have one."""
    rows = some(corpus, rng)
    numbers = uniform(corpus.counts[rows], COLUMNS)
    names = [
        corpus.classes[label] if label >= 0 else corpus.ids[row]
        for row, label in zip(rows, corpus.labels[rows], strict=True)
    ]
    strips = {
        f"{name[:10]}\n{corpus.ids[row][:6]}": squares(
            corpus, np.full(COLUMNS, row), numbers[k], preview.TILE
        )
        for k, (row, name) in enumerate(zip(rows, names, strict=True))
    }
    preview.grid(out, strips)
