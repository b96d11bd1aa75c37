"""Pictures of a task for people: labelled rows of small images, the same bytes every time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.image.corpus import Images

COLUMNS = 8
TILE = 96  # pixels that one image takes
MARGIN, GUTTER, TEXT = 96, 6, 14


def some(corpus: Images, rng: np.random.Generator) -> Index:
    """A few samples to show, drawn without repeats."""
    return np.sort(rng.permutation(len(corpus))[:COLUMNS])


def grid(out: Path, rows: Mapping[str, Tensor]) -> None:
    """Write a .png with one labelled row of images, (n, 3, S, S) in [0, 1], for each entry."""
    columns = max(len(row) for row in rows.values())
    size = (MARGIN + columns * (TILE + GUTTER), len(rows) * (TILE + GUTTER) + GUTTER)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT)
    for r, (label, images) in enumerate(rows.items()):
        top = GUTTER + r * (TILE + GUTTER)
        draw.text((GUTTER, top + TILE // 2), label, fill="black", font=font, anchor="lm")
        for c, tile in enumerate(_tiles(images)):
            sheet.paste(Image.fromarray(tile), (MARGIN + c * (TILE + GUTTER), top))
    sheet.save(out)


def _tiles(images: Tensor) -> np.ndarray:
    """(n, TILE, TILE, 3) uint8. Nearest, so that a person sees the pixels that the network sees."""
    tiles = F.interpolate(images.detach().float().cpu(), size=TILE, mode="nearest-exact")
    if tiles.shape[1] == 1:
        tiles = tiles.expand(-1, 3, -1, -1)
    return (tiles.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
