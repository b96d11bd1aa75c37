"""What guessing scores: the number that every accuracy stands beside."""

import numpy as np

from modalities.base import Index


def commonest(labels: Index) -> float:
    """The best accuracy on these labels of one answer for all, known only in hindsight.

    Guessing the commonest class of the training split scores this or less: far less where classes are alike in size,
    so that which is the commonest is an accident, and then it would make noise look like learning.
    """
    return float(np.bincount(labels).max() / len(labels))
