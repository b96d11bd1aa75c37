"""Load this encoder and turn pictures into vectors: `python example.py picture.png ...`, where `stages` is installed.

D = encoder.dim. Pictures are cropped to a square and scaled to the side that the encoder reads, RGB in [0, 1].
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from stages import store


def read(file: str, side: int) -> torch.Tensor:
    """(3, side, side). Where a picture is transparent it is laid on white."""
    with Image.open(file) as picture:
        rgba = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    small = ImageOps.fit(flat, (side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small, np.float32) / 255).permute(2, 0, 1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python example.py PICTURE...")
    encoder = store.load_encoder(Path(__file__).parent)  # frozen, in evaluation mode
    side = int(encoder.spec["side"])
    with torch.no_grad():
        vectors = encoder(torch.stack([read(file, side) for file in sys.argv[1:]]))  # (N, D)
    print(tuple(vectors.shape))
