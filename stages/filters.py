"""What the first layer of an encoder looks for: its convolution's filters, read from the file without the encoder."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import store
from stages.results import Run

ACROSS = 8  # filters
MOST = 64
LEAST = 3  # pixels: a filter of one is a colour, not a picture


@dataclass(frozen=True)
class Filters:
    """The filters of one method as a picture of one pixel a weight, a line between them."""

    method: str
    image: str  # a data: URL
    count: int
    side: int  # pixels of a filter
    width: int  # of the picture


def filters(runs: Sequence[Run]) -> Iterator[Filters]:
    """Of each method the first seed that counts, where the encoder begins with a convolution of colours or greys."""
    done: set[str] = set()
    for run in runs:
        if run.method in done or run.problems or not run.digest:
            continue
        done.add(run.method)
        path = store.model_path(run.modality, run.method, run.seed) / "encoder.safetensors"
        weights = first(path)
        if weights is not None:
            yield picture(run.method, weights)


def first(path: Path) -> NDArray[np.float32] | None:
    """(count, 1 or 3, h, w): the first weights that look at pixels, the middle moment of those that see several."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
        # Colours before greys: a filter of one channel may also be one deep inside that sees each channel alone.
        for channels, name in ((channels, name) for channels in (3, 1) for name in shapes):
            shape = shapes[name]
            if len(shape) in (4, 5) and shape[1] == channels and min(shape[-2:]) >= LEAST:
                found: NDArray[np.float32] = np.asarray(file.get_tensor(name), np.float32)
                return found if found.ndim == 4 else found[:, :, found.shape[2] // 2]
    return None


def picture(method: str, weights: NDArray[np.float32]) -> Filters:
    """Each filter by itself: grey is 0, and its largest weight is black or white, or a full colour."""
    from PIL import Image

    weights = weights[:MOST]
    count, _, height, width = weights.shape
    scale = np.abs(weights).max((1, 2, 3), keepdims=True)
    tiles = np.rint(127.5 + 127.5 * weights / np.maximum(scale, 1e-12)).astype(np.uint8)
    tiles = np.broadcast_to(tiles, (count, 3, height, width)).transpose(0, 2, 3, 1)
    columns = min(ACROSS, count)
    rows = -(-count // columns)
    whole = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        whole[top : top + height, left : left + width] = tile
    stream = io.BytesIO()
    Image.fromarray(whole).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    return Filters(method, f"data:image/png;base64,{data}", count, width, whole.shape[1])
