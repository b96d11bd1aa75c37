"""Frozen vectors of many strings."""

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.common.device import device
from modalities.text.networks.text_encoder import TextEncoder

READ = 256  # strings encoded at a time


@torch.no_grad()
def encoded(encoder: TextEncoder, texts: list[str]) -> NDArray[np.float32]:
    """(n, D), in evaluation mode; the encoder is put back into the mode it was in."""
    where, training = device(), encoder.training
    encoder.to(where).eval()
    parts = [texts[k : k + READ] for k in range(0, len(texts), READ)]
    found = [encoder(encoder.tokens(part).to(where)).float().cpu().numpy() for part in parts]
    encoder.train(training)
    return np.concatenate(found) if found else np.zeros((0, encoder.dim), np.float32)
