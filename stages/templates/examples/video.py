"""Load this encoder and turn videos into vectors: `python example.py clip.mp4 ...`, where `stages` is installed.

D = encoder.dim. A video's vector is the mean of those of some frames, evenly over it; frames are cropped to a square
and scaled to the side that the encoder reads, RGB in [0, 1].
"""

import sys
from pathlib import Path

import numpy as np
import torch

from modalities.video.reading.decode import decode, header
from stages import store


def read(file: Path, frames: int, side: int) -> torch.Tensor:
    """(3, frames, side, side)"""
    count = len(header(file).times)
    wanted = [count * (2 * k + 1) // (2 * frames) for k in range(frames)]
    shown = {k: small(pixels, side) for k, (_, pixels) in enumerate(decode(file)) if k in wanted}
    return torch.stack([shown[k] for k in wanted], 1)


def small(pixels: np.ndarray, side: int) -> torch.Tensor:
    """(3, side, side), the middle of a frame."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = torch.from_numpy(np.ascontiguousarray(pixels[top : top + short, left : left + short]))
    image = square.permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(image, side, mode="bilinear", antialias=True, align_corners=False)[
        0
    ]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python example.py VIDEO...")
    encoder = store.load_encoder(Path(__file__).parent)  # frozen, in evaluation mode
    frames, side = int(encoder.spec["frames"]), int(encoder.spec["encoder"]["side"])
    with torch.no_grad():
        vectors = encoder(torch.stack([read(Path(file), frames, side) for file in sys.argv[1:]]))  # (N, D)
    print(tuple(vectors.shape))
