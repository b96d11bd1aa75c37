"""Decoding: every kind of picture becomes upright 8-bit RGB, and every broken one says what is wrong."""

import io
import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from modalities.image.reading.decode import Reason, Refused, decode
from modalities.image.reading.resize import resize
from tests.image.files import encoded, jpeg_with, picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_is_turned_once_by_what_the_standard_says(orientation: int, kind: str) -> None:
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24] = (255, 0, 0)  # top left
    pixels[:16, 24:] = (0, 255, 0)  # top right
    # Where the stored top left and top right belong: (row, column) of the quadrant. EXIF 2.3, table 6.
    belongs = {
        2: ((0, 1), (0, 0)), 3: ((1, 1), (1, 0)), 4: ((1, 0), (1, 1)), 5: ((0, 0), (1, 0)),
        6: ((0, 1), (1, 1)), 7: ((1, 1), (0, 1)), 8: ((1, 0), (0, 0)),
    }.get(orientation, ((0, 0), (0, 1)))  # fmt: skip
    found = decode(jpeg_with(orientation, pixels, kind), 32, "squash")
    assert (found.height, found.width) == ((48, 32) if 5 <= orientation <= 8 else (32, 48))
    for channel, (row, column) in enumerate(belongs):
        values = found.pixels[row * 16 + 8, column * 16 + 8].astype(int)
        assert values[channel] > 200 and values.sum() - values[channel] < 80, (channel, values)


def test_colour_modes_become_rgb_as_documented() -> None:
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
    deep = grey.astype(np.uint16) * 257
    expected = np.stack([grey] * 3, 2)
    for data in (encoded(grey), encoded(deep), encoded(np.stack([grey, np.full_like(grey, 255)], 2))):
        np.testing.assert_array_equal(decode(data, 32, "crop").pixels, expected)
    clear = np.dstack([np.zeros((32, 32, 3), np.uint8), grey])  # black that fades in from clear
    np.testing.assert_allclose(decode(encoded(clear), 32, "crop").pixels, 255 - expected, atol=1)
    palette = Image.fromarray(grey).convert("P")
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=0)
    assert (decode(stream.getvalue(), 32, "crop").pixels[:, 0] == 255).all()
    ink = Image.fromarray(np.full((32, 32, 3), (200, 30, 30), np.uint8)).convert("CMYK")
    stream = io.BytesIO()
    ink.save(stream, "JPEG", quality=95)
    found = decode(stream.getvalue(), 32, "crop")
    assert np.abs(found.pixels.astype(int) - (200, 30, 30)).max() < 12 and found.notes == ["CMYK, made RGB"]
    with pytest.raises(Refused, match="32 bits a pixel have no agreed white"):
        decode(encoded(np.ones((32, 32), np.float32), "TIFF"), 32, "crop")


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_jpeg_at_reduced_size_looks_like_the_whole_decoded(fit: Any) -> None:
    waves = np.sin(np.mgrid[0:600, 0:800].sum(0) / 9)[..., None] * (40, 60, 80) + 128
    data = encoded(waves.astype(np.uint8), "JPEG", quality=90)
    whole = resize(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 64, fit)
    error = np.mean((decode(data, 64, fit).pixels.astype(float) - whole) ** 2)
    assert 10 * np.log10(255**2 / error) > 38
    turned = decode(jpeg_with(3, waves.astype(np.uint8)), 64, fit).pixels  # goes through Pillow
    assert 10 * np.log10(255**2 / np.mean((turned[::-1, ::-1].astype(float) - whole) ** 2)) > 38


def test_what_each_fit_keeps() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 100  # the middle square
    assert (resize(wide, 10, "crop") == 100).all()
    padded = resize(wide, 30, "pad")
    assert (padded[:10] == 255).all() and (padded[20:] == 255).all()
    np.testing.assert_array_equal(padded[10:20], wide)
    blocks = resize(np.kron(picture(0, 8, 8), np.ones((4, 4, 1), np.uint8)), 8, "squash")
    np.testing.assert_array_equal(blocks, picture(0, 8, 8))  # an average over each area


def test_opencv_and_pillow_read_the_same_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(3, 64, 64), "JPEG", quality=95)
    fast = decode(data, 64, "crop").pixels.astype(int)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    slow = decode(data, 64, "crop").pixels.astype(int)
    assert np.abs(fast - slow).max() <= 3  # upsampling of chroma may round differently


@cache
def broken() -> dict[str, tuple[bytes, Reason, str]]:
    """name -> (bytes, reason, part of the detail): the real broken files in small."""
    photo = encoded(picture(0, 64, 64), "JPEG", exif=thumbnail())
    png = encoded(picture(1, 64, 64))
    lies = png[:16] + (60_000).to_bytes(4) * 2 + png[24:29]
    lies += zlib.crc32(lies[12:29]).to_bytes(4) + png[33:]
    webp = encoded(picture(2, 64, 64), "WEBP")
    gif = encoded(picture(2, 64, 64), "GIF")
    return {
        "zero-bytes.jpg": (b"", Reason.EMPTY, "0 bytes"),
        "text-renamed.jpg": (b"This is no picture", Reason.NOT_AN_IMAGE, "begins with 'This is no pictu'"),
        "html-error-page.jpg": (b"<!DOCTYPE html><html>", Reason.NOT_AN_IMAGE, "<!DOCTYPE html>"),
        "clip.avi": (b"RIFF\0\1\0\0AVI LIST", Reason.NOT_AN_IMAGE, "RIFF"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", Reason.NOT_AN_IMAGE, "%!PS"),
        "truncated.jpg": (photo[: len(photo) * 55 // 100], Reason.TRUNCATED, ""),
        "nearly-whole.jpg": (photo[:-2], Reason.TRUNCATED, ""),
        "only-a-start.jpg": (photo[:12], Reason.TRUNCATED, ""),
        "truncated.png": (png[: len(png) // 2], Reason.TRUNCATED, ""),
        "truncated.webp": (webp[: len(webp) // 2], Reason.TRUNCATED, ""),
        "truncated.gif": (gif[: len(gif) // 2], Reason.TRUNCATED, ""),
        "one-pixel.png": (encoded(picture(0)[:1, :1]), Reason.TOO_SMALL, "1x1: the shorter side is under 8"),
        "line.png": (encoded(np.zeros((1, 2000), np.uint8)), Reason.TOO_SMALL, "2000x1"),
        "line.jpg": (encoded(np.zeros((2000, 2), np.uint8), "JPEG"), Reason.TOO_SMALL, "2x2000"),
        "bomb.png": (
            encoded(np.zeros((11_000, 11_000), bool)),
            Reason.TOO_LARGE,
            "11000x11000 exceeds the limit of 1",
        ),
        "header-lies.png": (lies, Reason.TOO_LARGE, "60000x60000 exceeds the limit of 100,000,000 pixels"),
        "header-lies.jpg": (tall(photo), Reason.TOO_LARGE, "65000x65000 exceeds"),
    }


def thumbnail() -> bytes:
    """EXIF with a picture in it, whose end mark must not be taken for that of the whole."""
    return b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + encoded(picture(9, 16, 16), "JPEG")


def tall(photo: bytes) -> bytes:
    frame = photo.rindex(b"\xff\xc0")  # not that of the thumbnail
    return photo[: frame + 5] + (65_000).to_bytes(2) * 2 + photo[frame + 9 :]


@pytest.mark.parametrize("name", broken())
def test_each_broken_file_is_refused_with_its_reason(name: str) -> None:
    data, reason, detail = broken()[name]
    with pytest.raises(Refused) as refused:
        decode(data, 16, "crop", name)
    assert refused.value.reason is reason and detail in refused.value.detail
