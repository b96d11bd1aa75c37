"""Ordinary JPEG files, fast: no object a file, and no more of the inverse DCT than the target needs.

What is out of the ordinary (CMYK, a turn in EXIF, a missing end, whatever OpenCV refuses) is left to decode.py.
CPU time a file, Pillow with its draft mode and bicubic filter against this with resize.py: 170x128 to 48 px 475 and
240 us, 500x375 to 96 px 2.4 and 1.1 ms, 500x375 to 224 px 3.0 and 1.25 ms.
"""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from modalities.image.reading.resize import Fit, Pixels

FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
SCAN = 0xDA
APP1 = 0xE1  # EXIF or XMP
ORIENTATION = 0x0112
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class Header(NamedTuple):
    """What the markers before the first scan say."""

    height: int
    width: int
    grey: bool


def header(data: bytes) -> Header | None:
    """The size, or None where this is no whole, upright JPEG of 1 or 3 channels with 8 bits."""
    if data[:2] != b"\xff\xd8":
        return None
    place, found = 2, None
    while place + 9 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        body = place + 4
        if marker == SCAN:
            # A thumbnail in EXIF has an end of its own, but that lies before the scan.
            return found if data.find(b"\xff\xd9", place) > 0 else None
        if marker in FRAMES:
            if data[body] != 8 or data[body + 5] not in (1, 3):
                return None
            height, width = (
                int.from_bytes(data[body + 1 : body + 3]),
                int.from_bytes(data[body + 3 : body + 5]),
            )
            found = Header(height, width, data[body + 5] == 1)
        elif marker == APP1 and not _upright(data[body : place + 2 + length]):
            return None
        place += 2 + length
    return None


def _upright(segment: bytes) -> bool:
    if not segment.startswith(b"Exif\0\0"):
        return b"Orientation" not in segment
    exif = Image.Exif()
    try:
        exif.load(segment)
    except Exception:  # what is broken there is for decode.py to say
        return False
    return bool(exif.get(ORIENTATION, 1) == 1)


def pixels(data: bytes, size: Header, side: int, fit: Fit) -> Pixels | None:
    """(H, W, 3) at 1/2, 1/4 or 1/8 where that still leaves twice the target, or None where OpenCV cannot."""
    measured = max if fit == "pad" else min
    spare = measured(size.height, size.width) // (2 * side)
    scale = next((k for k in (8, 4, 2) if spare >= k), 1)
    flag = REDUCED.get(scale, cv2.IMREAD_COLOR_RGB) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        return None
    if decoded is not None and scale > 1:  # reduced, OpenCV only gives BGR
        decoded = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return None if decoded is None else np.asarray(decoded, np.uint8)
