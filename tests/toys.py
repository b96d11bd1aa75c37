"""What the shared promises need of each modality: a toy corpus, its pretexts, and what an encoder of it eats.

A new modality is one more entry here.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.base import Encoder, Pretext
from tests import conftest
from tests.text import toy as text
from tests.video import toys as video


@dataclass(frozen=True)
class Toy:
    """One modality in small."""

    corpus: Callable[[], Any]  # fresh every time, with labels and both splits
    make: Callable[[str, Any, Path], Pretext]  # `make(method, corpus, built)`
    sample: Callable[[Encoder], Tensor]  # some samples as an encoder eats them
    drawn: Callable[[Path], bool]  # whether the preview that was asked for as `preview.png` shows anything


def picture_drawn(file: Path) -> bool:
    from PIL import Image

    sheet = np.asarray(Image.open(file))
    return sheet.shape[0] > 60 and len(np.unique(sheet)) > 50


def text_drawn(file: Path) -> bool:
    """Lines of [text, mark] pairs, of which some are marked."""
    lines = json.loads(file.with_suffix(".json").read_text())
    marks = {mark for line in lines for _, mark in line}
    assert marks <= {"", "hidden", "asked", "right", "wrong", "written", "dim"}
    return len(lines) > 1 and len(marks) > 1


TOYS = {
    "image": Toy(
        corpus=lambda: conftest.pictures(48, 20),
        make=conftest.make,
        sample=lambda encoder: torch.rand(5, 3, 16, 16),
        drawn=picture_drawn,
    ),
    "text": Toy(
        corpus=lambda: text.documents(48),
        make=text.make,
        sample=lambda encoder: encoder.read(text.documents(5), np.arange(5)),
        drawn=text_drawn,
    ),
    "video": Toy(
        corpus=lambda: video.videos(24),
        make=video.make,
        sample=lambda encoder: encoder.read(video.videos(6), np.arange(5)),
        drawn=picture_drawn,
    ),
}
