"""Small pictures of many samples as one file: a page that shows a thousand of them would be slow as a thousand."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 48  # pixels of a tile: a multiple of 16, so that no block of JPEG lies in two of them
ACROSS = 32  # tiles
QUALITY = 80


@dataclass(frozen=True)
class Sheet:
    """Tiles from left to right and from the top down."""

    image: str  # a data: URL
    columns: int
    rows: int

    def place(self, tile: int) -> str:
        """Where a tile lies, as CSS says it of a background that is `columns` times as wide as what it is behind."""
        down, across = divmod(tile, self.columns)
        return f"{_share(across, self.columns)} {_share(down, self.rows)}"

    @property
    def size(self) -> str:
        return f"{100 * self.columns}% {100 * self.rows}%"


def _share(at: int, of: int) -> str:
    return f"{100 * at / max(of - 1, 1):.6g}%"


def sheet(pictures: Sequence[NDArray[np.uint8]]) -> Sheet:
    """The middle squares of (h, w, 3) pictures of any shape."""
    from PIL import Image

    columns = min(ACROSS, len(pictures))
    rows = -(-len(pictures) // columns)
    whole: Any = Image.new("RGB", (columns * SIDE, rows * SIDE), "white")
    for k, pixels in enumerate(pictures):
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        tile = Image.fromarray(pixels[top : top + side, left : left + side])
        # What is too small is shown with its pixels, not with what a filter makes of them.
        how = Image.Resampling.NEAREST if side < SIDE else Image.Resampling.BOX
        whole.paste(tile.resize((SIDE, SIDE), how), (k % columns * SIDE, k // columns * SIDE))
    stream = io.BytesIO()
    whole.save(stream, "JPEG", quality=QUALITY)
    data = base64.b64encode(stream.getvalue()).decode()
    return Sheet(f"data:image/jpeg;base64,{data}", columns, rows)
