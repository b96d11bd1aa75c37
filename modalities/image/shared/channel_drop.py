"""Patches that keep one colour channel: relations between channels no longer tell which are of one image.

As CPC v2 does (Hénaff et al. 2020, arXiv:1905.09272), which drops two of three channels of a patch. M patches.
"""

import numpy as np
import torch
from torch import Tensor

CHANNELS = 3


def kept(dropped: Tensor, rng: np.random.Generator) -> Tensor:
    """Which channels of which patches stay, (..., 3): one drawn for each where `dropped` (...), elsewhere all."""
    channel = torch.from_numpy(rng.integers(CHANNELS, size=tuple(dropped.shape)))
    return (channel.unsqueeze(-1) == torch.arange(CHANNELS)) | ~dropped.unsqueeze(-1)


def drop(images: Tensor, stay: Tensor, mean: Tensor) -> Tensor:
    """Images or patches (M, 3, P, P) where `stay` says so, elsewhere the mean (3,) of an encoder: 0 once normalised.

    `stay` has a flag a channel, (M, 3, 1, 1), or a pixel, (M, 3, P, P).
    """
    return torch.where(stay, images, mean.cpu().view(CHANNELS, 1, 1))
