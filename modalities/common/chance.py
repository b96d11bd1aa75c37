"""What guessing scores: the number that every accuracy stands beside."""

import numpy as np

from modalities.base import Index


def commonest(train: Index, test: Index) -> float:
    """Accuracy on `test` of always answering the commonest class of `train`; the lowest of equals."""
    return float(np.mean(test == np.bincount(train).argmax()))
