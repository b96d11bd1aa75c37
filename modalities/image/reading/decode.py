"""One picture: bytes -> (side, side, 3) uint8, or the reason why not.

The content decides what a file is, never its name. The limit on pixels is read from the header, before anything is
allocated. Where a picture has an alpha channel it is laid on white, and padding is white too.
"""

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from modalities.image.reading import jpeg
from modalities.image.reading.resize import WHITE, Fit, Pixels, resize

MOST_PIXELS = 100_000_000  # by the header; a 10,000 x 10,000 scan still passes
LEAST_SIDE = 8
# JPEG first, since the first that recognises a file wins. PostScript and other formats that run programs stay out.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}
OPENED = tuple(kind for kind in SUFFIXES if kind != "MPO")  # an MPO is opened as the JPEG that it begins with
MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WEBP"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Reason(StrEnum):
    """Why a file is not in the corpus: the whole list, as it stands in rejected.csv."""

    EMPTY = "empty file"
    NOT_AN_IMAGE = "not an image"
    TRUNCATED = "truncated"
    TOO_LARGE = "too large"
    TOO_SMALL = "too small"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    CONFLICT = "conflicting labels"
    OUTSIDE = "outside the source"
    MISSING = "missing"


class Refused(Exception):
    """One file cannot be used; the run goes on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass
class Picture:
    """A decoded picture and its original height and width, the right way up."""

    pixels: Pixels  # (side, side, 3)
    height: int
    width: int
    notes: list[str] = field(default_factory=list)  # what was repaired


def decode(data: bytes | Pixels, side: int, fit: Fit, name: str = "") -> Picture:
    """Decode a file's bytes, or take an array (H, W) or (H, W, 3); turn it upright, make it RGB and resize it.

    `name` is only compared with the content. Raises Refused, whatever is wrong with the data.
    """
    guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # MOST_PIXELS takes its place
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = _decode(data, side, fit, name)
        if heard:
            found.notes.append("the decoder warned of damage")
        return found
    except Refused:
        raise
    except MemoryError:
        raise Refused(Reason.TOO_LARGE, "it does not fit in memory") from None
    except Exception as error:  # whatever a decoder raises costs one file
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        cut = "truncated" in text or (isinstance(data, bytes) and _cut(data))
        raise Refused(Reason.TRUNCATED if cut else Reason.UNREADABLE, text) from None
    finally:
        Image.MAX_IMAGE_PIXELS = guard


def _decode(data: bytes | Pixels, side: int, fit: Fit, name: str) -> Picture:
    notes: list[str] = []
    if not isinstance(data, bytes):
        image: Image.Image = Image.fromarray(data)
        width, height = _measure(*image.size)
        return Picture(resize(np.asarray(_rgb(image, notes)), side, fit), height, width, notes)
    if size := jpeg.header(data):
        _measure(size.width, size.height)
        decoded = jpeg.pixels(data, size, side, fit)
        if decoded is not None:
            _look_at_name("JPEG", name, notes)
            notes += ["greyscale, made RGB"] * size.grey
            return Picture(resize(decoded, side, fit), size.height, size.width, notes)
    image = _open(data)
    width, height = _measure(*image.size)
    _look_at_name(image.format or "", name, notes)
    if image.format != "MPO" and getattr(
        image, "is_animated", False
    ):  # an MPO's second picture is a gain map or depth
        notes.append("first frame of an animation or page of several")
    turn = _orientation(image, notes)
    image.draft(None, _at_least(image.size, 2 * side, fit))  # as in jpeg.py
    image.load()
    if turn in TURNS:
        image = image.transpose(TURNS[turn])
        notes.append("turned upright as its EXIF tag says")
        if turn >= 5:
            width, height = height, width
    return Picture(resize(np.asarray(_rgb(image, notes)), side, fit), height, width, notes)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise Refused(Reason.EMPTY, "0 bytes")
    try:
        return Image.open(io.BytesIO(data), formats=OPENED)
    except UnidentifiedImageError:
        kind = next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)
        kind = None if kind == "WEBP" and data[8:12] != kind.encode() else kind  # AVI and WAV are RIFF too
        if kind is None:
            raise Refused(Reason.NOT_AN_IMAGE, f"begins with {ascii(data[:16])[1:]}") from None
        reason = Reason.TRUNCATED if _cut(data) else Reason.UNREADABLE
        raise Refused(reason, f"begins like {kind}, but its header cannot be read") from None


def _cut(data: bytes) -> bool:
    """Whether the end of the file is missing. Only asked once decoding has failed."""
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND", b"GIF8": b";"}
    return any(data.startswith(magic) and end not in data[-16:] for magic, end in ends.items())


def _measure(width: int, height: int) -> tuple[int, int]:
    if width * height > MOST_PIXELS:
        raise Refused(Reason.TOO_LARGE, f"{width}x{height} exceeds the limit of {MOST_PIXELS:,} pixels")
    if min(width, height) < LEAST_SIDE:
        raise Refused(Reason.TOO_SMALL, f"{width}x{height}: the shorter side is under {LEAST_SIDE} pixels")
    return width, height


def _look_at_name(kind: str, name: str, notes: list[str]) -> None:
    if not name.lower().endswith(SUFFIXES[kind]) and (suffix := PurePosixPath(name).suffix):
        notes.append(f"{kind} data in a file named {ascii(suffix)[1:-1]}")


def _orientation(image: Image.Image, notes: list[str]) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or a wrong one. Pillow turns a TIFF by itself."""
    if image.format == "TIFF":
        return 1
    found: object = 1
    with suppress(Exception):  # broken EXIF is no reason to lose the picture
        found = image.getexif().get(0x0112, 1)
    if not isinstance(found, int) or not 1 <= found <= 8:
        notes.append("EXIF orientation outside 1 to 8 ignored")
        return 1
    return found


def _at_least(size: tuple[int, int], pixels: int, fit: Fit) -> tuple[int, int]:
    """The size of this shape whose shorter side (crop) or longer side (pad) is so long; of squash, each side."""
    width, height = size
    if fit == "squash":
        return pixels, pixels
    side = min(size) if fit == "crop" else max(size)
    return max(1, pixels * width // side), max(1, pixels * height // side)


def _rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
        notes.append("16 bits a pixel, scaled to 8")
    if image.has_transparency_data:
        notes.append("alpha laid on white")
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (WHITE,) * 4), image).convert("RGB")
    if image.mode in ("1", "L", "LA"):
        notes.append("greyscale, made RGB")
    elif image.mode not in ("RGB", "P"):
        notes.append(f"{image.mode}, made RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey divided by 257, so that white stays white; Pillow's own conversion clips instead."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
        raise Refused(Reason.UNREADABLE, "32 bits a pixel have no agreed white; save it with 8 or 16")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
