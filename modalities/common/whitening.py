"""PCA whitening: the main directions of a set of vectors, each with the same weight."""

import torch
from torch import Tensor

LEAST = 1e-6  # of the largest variance: less is rounding, and whitening would blow it up


@torch.no_grad()
def whitened(vectors: Tensor, components: int) -> Tensor:
    """Vectors (N, D) on their `components` main directions, of variance one, no two correlated.

    Fewer columns come out where there are fewer directions in which the vectors differ; one of zeros where none.
    """
    centred = vectors.float() - vectors.float().mean(0)
    covariance = centred.T @ centred / max(len(vectors) - 1, 1)
    variances, directions = torch.linalg.eigh(covariance.double())  # ascending
    kept = int((variances > LEAST * variances[-1]).sum().clamp(1, components))
    variances, directions = variances[-kept:].flip(0), directions[:, -kept:].flip(1)
    axes: Tensor = (directions / variances.clamp_min(1e-30).sqrt()).float()  # (D, kept)
    return centred @ axes
