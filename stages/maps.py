"""Where samples lie among each other: two dimensions to look at, and nearest neighbours. Pure functions.

N samples, D numbers each.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from modalities.common.parallel import processes

Vectors = NDArray[np.float32]
Index = NDArray[np.int64]
COMPONENTS = 50  # of the PCA before t-SNE: distances of many dimensions are mostly noise
PERPLEXITY = 30.0
STEPS = 500  # of t-SNE: a few hundred points lie still by then


def unit(vectors: Vectors) -> Vectors:
    """(N, D) of length one, as cosines want them; a vector of zeros stays one."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vectors = vectors / np.maximum(length, 1e-12)
    return found


def every(many: Sequence[Vectors]) -> list[Vectors]:
    """`flat` of each, several at a time: a map takes a second of one core."""
    from threadpoolctl import threadpool_limits

    # Here for libraries whose limit is the process's, in `flat` for those that have one a thread.
    with threadpool_limits(1), ThreadPoolExecutor(processes()) as pool:
        return list(pool.map(flat, many))


def flat(vectors: Vectors) -> Vectors:
    """(N, 2) within -1 and 1: PCA, then t-SNE (van der Maaten and Hinton 2008) of unit vectors.

    The same numbers give the same map: one thread, since the order of a sum matters to where t-SNE ends. An encoder
    that has collapsed puts everything on one point.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count = len(vectors)
    centred = unit(vectors) - unit(vectors).mean(0)
    if count < 4 or centred.std() < 1e-6:
        return np.zeros((count, 2), np.float32)
    with threadpool_limits(1):
        few = PCA(min(COMPONENTS, *centred.shape), svd_solver="full").fit_transform(centred)
        few = few if few.shape[1] > 1 else np.pad(few, ((0, 0), (0, 1)))
        perplexity = min(PERPLEXITY, (count - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", max_iter=STEPS, random_state=0)
        found: Vectors = tsne.fit_transform(few)
    found = found - (found.max(0) + found.min(0)) / 2
    within: Vectors = found / np.abs(found).max()
    return within


def nearest(queries: Vectors, bank: Vectors, count: int) -> Index:
    """(Q, count) rows of the bank, by cosine, the nearest first; of equals the first."""
    near = unit(queries) @ unit(bank).T
    return np.argsort(-near, 1, kind="stable")[:, :count]
