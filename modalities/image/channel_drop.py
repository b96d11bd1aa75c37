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


def drop(patches: Tensor, stay: Tensor, mean: Tensor) -> Tensor:
    """Patches (M, 3, P, P) whose other channels become the encoder's mean (3,), which it normalises to 0."""
    return torch.where(stay[:, :, None, None], patches, mean.cpu().view(CHANNELS, 1, 1))
