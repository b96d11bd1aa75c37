"""What guessing by how often each word occurs would score."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unigram(tokens: NDArray[np.integer[Any]]) -> float:
    """Perplexity of naming each of these tokens by its share of them all."""
    counts = np.bincount(tokens)
    share = counts[counts > 0] / len(tokens)
    return float(np.exp(-np.sum(share * np.log(share))))
