"""How often each token occurs: what guessing by it would score, and where a network's output may begin.

An output that begins at zero has to learn this first, and the quickest way to it is to make all vectors alike: after a
short training they still are, and worth less than an untrained network's.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def prior(tokens: NDArray[np.integer[Any]], entries: int, *, end: int, ends: int) -> Tensor:
    """(V,), the log of the share of each token, of `ends` end tokens too; each once more than it is, so none is 0."""
    counts = np.bincount(tokens, minlength=entries).astype(np.float64) + 1
    counts[end] += ends
    return torch.from_numpy(np.log(counts / counts.sum())).float()


def unigram(tokens: NDArray[np.integer[Any]]) -> float:
    """Perplexity of naming each of these tokens by its share of them all."""
    counts = np.bincount(tokens)
    share = counts[counts > 0] / len(tokens)
    return float(np.exp(-np.sum(share * np.log(share))))
