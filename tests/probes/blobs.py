"""Made-up features: correlated, badly scaled and overlapping, as those of a network are."""

import numpy as np

from modalities.base import Features


def blobs(count: int = 400, dim: int = 24, classes: int = 5, *, seed: int = 0) -> Features:
    """One cloud a class, a quarter of each for testing; class k has about k + 1 shares of the samples."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    labels = np.sort(rng.choice(classes, count, p=share)).astype(np.int64)
    latent = rng.normal(0, 1, (classes, 8))[labels] + rng.normal(0, 1, (count, 8))
    vectors = np.maximum(latent @ rng.normal(0, 1, (8, dim)) + 0.3, 0) * np.geomspace(1e-3, 10, dim)
    vectors[:, 3] = 0.1  # a dead feature
    order = rng.permutation(count)
    return Features(
        vectors=vectors[order].astype(np.float32),
        labels=labels[order],
        splits=np.array(["test" if k % 4 == 3 else "train" for k in range(count)]),
        ids=[f"id{k:05d}" for k in range(count)],
        classes=[f"class {k}" for k in range(classes)],
    )
