"""What all encoders of pictures share: the side they read at, and normalisation as buffers."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder, Index
from modalities.image.corpus import Images

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as the field does
STD = (0.229, 0.224, 0.225)


class ImageEncoder(Encoder):
    """RGB in [0, 1], (N, C, S, S), of pictures of a corpus. Raises ValueError for sides below 8 pixels."""

    side: int
    mean: Tensor
    std: Tensor

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        if side < 8:
            raise ValueError(f"image.encoder.side is {side}; use at least 8 pixels")
        self.side = side
        colour = channels == 3
        self.register_buffer("mean", torch.tensor(MEAN if colour else [float(np.mean(MEAN))] * channels))
        self.register_buffer("std", torch.tensor(STD if colour else [float(np.mean(STD))] * channels))

    def read(self, corpus: Images, index: Index) -> Tensor:
        pixels = torch.from_numpy(corpus.pixels(index)).permute(0, 3, 1, 2).float().div_(255)
        if corpus.side == self.side:
            return pixels
        return F.interpolate(pixels, size=self.side, mode="bilinear", antialias=True, align_corners=False)

    def normalised(self, x: Tensor) -> Tensor:
        return (x - self.mean.view(1, -1, 1, 1)) / self.std.view(1, -1, 1, 1)
