"""Pictures of a video task for people: labelled rows of frames, each with a line of its own below."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

Pixels = NDArray[np.uint8]
HEIGHT = 112  # pixels of every picture
GUTTER, TEXT, LINE = 8, 13, 18


class Cell(NamedTuple):
    picture: Pixels | None  # (H, W, 3); None: words alone
    words: str


def shown(images: Tensor) -> list[Pixels]:
    """Images (n, 3 or 1, S, S) in [0, 1] as pictures, each of their pixels a square of its own."""
    tall = F.interpolate(images.detach().float().cpu(), size=HEIGHT, mode="nearest-exact")
    pixels = (tall.clamp(0, 1) * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return list(pixels.permute(0, 2, 3, 1).contiguous().numpy())


def boxed(frame: Pixels, box: Sequence[float] | NDArray[np.float32], colour: tuple[int, int, int]) -> Pixels:
    """A frame (H, W, 3), HEIGHT tall, with this box (top, left, height, width) drawn on it."""
    picture = _tall(frame)
    scale = HEIGHT / frame.shape[0]
    top, left, height, width = (float(value) * scale for value in box)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=colour, width=2)
    return np.asarray(picture)


def write(out: Path, rows: Sequence[tuple[str, Sequence[Cell]]]) -> None:
    """Write a .png of rows (words, cells), one below the other; cells are as wide as their pictures."""
    font = ImageFont.load_default(TEXT)
    strips = [
        [(None if cell.picture is None else _tall(cell.picture), cell.words) for cell in cells]
        for _, cells in rows
    ]
    margin = max([int(font.getlength(words)) for words, _ in rows] + [0]) + 2 * GUTTER
    wide = [
        [max(picture.width if picture else 0, int(font.getlength(words)) + 2) for picture, words in strip]
        for strip in strips
    ]
    width = margin + max(sum(each) + GUTTER * len(each) for each in wide)
    step = HEIGHT + LINE + GUTTER
    sheet = Image.new("RGB", (width, GUTTER + step * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for r, (words, _) in enumerate(rows):
        top, left = GUTTER + r * step, margin
        draw.text((GUTTER, top + HEIGHT // 2), words, fill="black", font=font, anchor="lm")
        for (picture, below), space in zip(strips[r], wide[r], strict=True):
            if picture:
                sheet.paste(picture, (left, top))
                draw.text((left, top + HEIGHT + 2), below, fill="black", font=font)
            else:
                draw.text((left, top + HEIGHT // 2), below, fill="black", font=font, anchor="lm")
            left += space + GUTTER
    sheet.save(out)


def _tall(picture: Pixels) -> Image.Image:
    size = (round(picture.shape[1] * HEIGHT / picture.shape[0]), HEIGHT)
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BICUBIC)
