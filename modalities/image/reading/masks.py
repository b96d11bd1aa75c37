"""Masks: the class of every pixel of a picture, and what becomes of it when the picture is resized.

A mask has one channel of 8 bits whose values, or palette entries, are classes. Classes never mix: the nearest pixel is
taken, by the same rule of crop, padding or squashing as the picture. UNKNOWN is what no picture shows, such as padding.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modalities.image.reading.decode import Reason, Refused
from modalities.image.reading.resize import Fit, Pixels, window

UNKNOWN = 255  # of masks, as in Pascal VOC


def classes(data: bytes | Pixels) -> Pixels:
    """(H, W) of a file's bytes or of an array. Raises Refused where this is no mask."""
    if not isinstance(data, bytes):
        return data
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "GIF", "BMP", "TIFF", "PPM")) as image:
            if image.mode not in ("L", "P", "1"):
                raise Refused(
                    Reason.UNREADABLE, f"its mask is {image.mode}; use 8 bits of one channel, or a palette"
                )
            found = np.asarray(image)
    except Refused:
        raise
    except Exception as error:  # whatever a decoder raises costs one file
        raise Refused(Reason.UNREADABLE, f"its mask: {' '.join(str(error).split())}") from None
    return found.astype(np.uint8)


def fitted(mask: Pixels, height: int, width: int, side: int, fit: Fit) -> Pixels:
    """(side, side), of a mask of the picture of this height and width. Raises Refused where it has another size."""
    if mask.shape != (height, width):
        have = f"{mask.shape[1]}x{mask.shape[0]}"
        raise Refused(Reason.UNREADABLE, f"its mask is {have}, the picture {width}x{height}")
    at = window(height, width, side, fit)
    rows, inside_down = _nearest(side, at.top, at.from_top, at.down, height)
    columns, inside_across = _nearest(side, at.left, at.from_left, at.across, width)
    found = mask[rows[:, None], columns]
    found[~(inside_down[:, None] & inside_across)] = UNKNOWN
    return found


def _nearest(
    side: int, start: float, origin: float, scale: float, length: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each stored pixel the original one at its middle, and whether there is one."""
    places = (np.arange(side) + 0.5 - start) / scale + origin
    return np.clip(np.floor(places), 0, length - 1).astype(np.int64), (places > 0) & (places < length)
