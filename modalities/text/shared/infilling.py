"""Text infilling: runs of tokens give way to one mask each, a whole batch at once.

Lewis et al. 2019 (BART, arXiv:1910.13461): lengths are Poisson(3), a run of none is a mask put in between. Runs are of
tokens here; the authors' code counts words. N rows, L tokens, K runs at most in one.
"""

import numpy as np

from modalities.base import Index

LENGTH = 3.0  # mean length of a run, before it is cut to the budget


def infilled(
    ids: Index, lengths: Index, share: float, mask: int, pad: int, rng: np.random.Generator
) -> Index:
    """(N, L') of the first `lengths` (N,) tokens of each row, `share` of them in runs, and pads. L' is at most L.

    Runs do not touch. No token but those in runs is lost, and their order stays.
    """
    n, width = ids.shape
    budget = np.rint(share * lengths).astype(np.int64)  # (N,)
    most = max(1, int(2 * budget.max(initial=0) / LENGTH) + 4)
    runs = rng.poisson(LENGTH, (n, most))  # (N, K)
    before = runs.cumsum(1) - runs
    runs = np.minimum(runs, np.maximum(budget[:, None] - before, 0))  # the last one is cut to what is left
    taken = before < budget[:, None]
    taken &= (np.where(taken, 1 - runs, 0).cumsum(1) <= 0) | ~taken  # never longer than it was
    runs = np.where(taken, runs, 0)
    kept = lengths - runs.sum(1)  # (N,)
    # Runs stand in different gaps between tokens that are kept: gap g is before token g.
    key = np.where(np.arange(width + 1) <= kept[:, None], rng.random((n, width + 1)), 2.0)
    taken &= np.arange(most) <= kept[:, None]
    gap = np.argsort(key, 1)[:, :most] if most <= width + 1 else np.argsort(key, 1)
    taken, runs = taken[:, : gap.shape[1]], np.where(taken, runs, 0)[:, : gap.shape[1]]
    kept = lengths - runs.sum(1)
    row, run = np.nonzero(taken)
    masks, gone = np.zeros((n, width + 1), np.int64), np.zeros((n, width + 1), np.int64)
    masks[row, gap[row, run]], gone[row, gap[row, run]] = 1, runs[row, run]
    masks, gone = masks.cumsum(1), gone.cumsum(1)  # up to and with each gap
    out = np.full((n, width), pad, np.int64)
    row, place = np.nonzero(np.arange(width) < kept[:, None])
    out[row, place + masks[row, place]] = ids[row, place + gone[row, place]]
    row, place = np.nonzero(np.diff(masks, axis=1, prepend=0))
    out[row, place + masks[row, place] - 1] = mask
    return out[:, : max(1, int((kept + masks[np.arange(n), np.maximum(kept, 0)]).max(initial=1)))]
