"""Boxes of objects: from Pascal VOC XML or lines of text, and moved to where a resized picture shows them.

Coordinates are edges in pixels, left and top from 0, right and bottom past the last pixel.
"""

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from modalities.image.reading.decode import Reason, Refused
from modalities.image.reading.resize import Fit, window

SEEN = 0.5  # share of a box that must be left of it, else it is marked as hard
LEAST = 1.0  # pixels of a side, as stored: smaller boxes are left out


class Box(NamedTuple):
    """One object. Those that are `hard` are neither asked for nor held against who finds them."""

    name: str
    left: float
    top: float
    right: float
    bottom: float
    hard: bool = False


def parse(data: bytes, name: str) -> tuple[Box, ...]:
    """The boxes of a file: VOC XML, or lines `class left top right bottom`. Raises Refused for anything else."""
    try:
        text = data.decode("utf-8-sig")
        found = (
            _xml(text)
            if name.lower().endswith(".xml")
            else [_line(line) for line in text.splitlines() if line.strip()]
        )
    except (ValueError, AttributeError, ElementTree.ParseError) as error:
        raise Refused(Reason.UNREADABLE, f"its boxes: {' '.join(str(error).split())}") from None
    for box in found:
        if not (box.name and box.left <= box.right and box.top <= box.bottom):
            raise Refused(Reason.UNREADABLE, f"its boxes: {box.name!a} is inside out or has no name")
    return tuple(found)


def _xml(text: str) -> list[Box]:
    if "<!" in text.replace("<!--", ""):
        raise ValueError("a document type, which could define entities without end, is not read")
    return [_object(each) for each in ElementTree.fromstring(text).iter("object")]


def _object(found: ElementTree.Element) -> Box:
    def number(key: str) -> float:
        return float(found.findtext(f"bndbox/{key}") or "")

    name, hard = (found.findtext("name") or "").strip(), (found.findtext("difficult") or "0").strip() == "1"
    return Box(name, number("xmin"), number("ymin"), number("xmax"), number("ymax"), hard)


def _line(line: str) -> Box:
    name, *numbers = line.rsplit(maxsplit=4)
    if len(numbers) != 4:
        raise ValueError(f"{line!a} is no line of class left top right bottom")
    left, top, right, bottom = map(float, numbers)
    return Box(name.strip(), left, top, right, bottom)


def moved(boxes: Sequence[Box], height: int, width: int, side: int, fit: Fit) -> tuple[Box, ...]:
    """These boxes of a picture (height, width) as they lie in the stored one (side, side), clipped to what it shows."""
    at = window(height, width, side, fit)
    found = []
    for box in boxes:
        across = [at.left + (x - at.from_left) * at.across for x in (box.left, box.right)]
        down = [at.top + (y - at.from_top) * at.down for y in (box.top, box.bottom)]
        left, right = (min(max(x, 0.0), float(side)) for x in across)
        top, bottom = (min(max(y, 0.0), float(side)) for y in down)
        if min(right - left, bottom - top) < LEAST:
            continue
        share = (right - left) * (bottom - top) / ((across[1] - across[0]) * (down[1] - down[0]))
        found.append(Box(box.name, left, top, right, bottom, box.hard or share < SEEN))
    return tuple(found)
