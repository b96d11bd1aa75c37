"""Multinomial logistic regression on frozen features, to its optimum, for many strengths of weight decay.

The objective is mean cross-entropy + strength/2 · |W|², bias free: scikit-learn's with C = 1 / (strength · N).
L-BFGS in coordinates where the Hessian of the first step is the identity: features of a network are so correlated
(condition numbers of a million) that in plain coordinates it needs ten times as many steps.
N samples, D features and a last column of ones, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.common.device import device, threads

CLOSE = 1e-7  # largest gradient, in the coordinates above: probabilities are then right to 1e-3 or far better
ROUGH = 1e-4  # to 1e-2: enough to say which strength is best, in less than half the steps
SMALL = 2**20  # numbers in x up to which one thread is as fast as many
ROUNDING = 1e-6  # a gradient no larger than this is nought where a step changes nothing any more
STEPS = 5000  # a bound, far above what features of networks need


class Standard:
    """Standardises vectors by the mean and deviation of the training ones, and appends the 1 the bias multiplies."""

    def __init__(self, train: NDArray[np.float32]) -> None:
        self.mean = train.mean(0, dtype=np.float64)
        deviation = train.std(0, dtype=np.float64)
        # Of a feature that never changes, what is left after the mean is rounding: it must not be blown up to 1.
        self.scale = np.where(deviation > 1e-6 * np.abs(self.mean), deviation, 1.0)

    def __call__(self, vectors: NDArray[np.float32]) -> Tensor:
        """(N, D) -> (N, D + 1) in float64, on the GPU where there is one."""
        x = torch.from_numpy(vectors).to(device(), torch.float64)
        x = (x - torch.from_numpy(self.mean).to(x)) / torch.from_numpy(self.scale).to(x)
        return F.pad(x, (0, 1), value=1.0)


def fit(x: Tensor, y: Tensor, *, strengths: Sequence[float], tolerance: float) -> list[Tensor]:
    """Weights, (K, D + 1), for each strength in the order given.

    `y` holds 0 .. K - 1, each at least once; or, as (N, K), the shares of classes that each sample is to have.

    Goes from the strongest to the weakest, each starting where the last one ended. Raises ValueError where a
    strength is not above 0, since the optimum of separable classes then lies at infinity.
    """
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"a probe's strengths are {list(strengths)}; use one or more numbers above 0")
    classes = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
    with threads(1 if x.numel() <= SMALL else torch.get_num_threads()):
        found = _path(x, y, sorted(set(strengths), reverse=True), classes, tolerance)
    return [found[strength] for strength in strengths]


def _path(
    x: Tensor, y: Tensor, strengths: list[float], classes: int, tolerance: float
) -> dict[float, Tensor]:
    # At equal probabilities the Hessian is this matrix times (I - 11ᵀ/K).
    curvature = x.T @ x * ((1 - 1 / classes) / classes / len(x))  # (D + 1, D + 1)
    weights = x.new_zeros(classes, x.shape[1])
    found = {}
    for strength in strengths:
        decay = x.new_full((x.shape[1],), strength)
        decay[-1] = 0
        weights = _descend(x, y, weights, decay, curvature, tolerance)
        found[strength] = weights
    return found


def _descend(
    x: Tensor, y: Tensor, start: Tensor, decay: Tensor, curvature: Tensor, tolerance: float
) -> Tensor:
    """L-BFGS over W L, where L Lᵀ is the curvature with decay (Cholesky)."""
    # scipy's and not torch's: torch's optimizers import the compiler, 1.4 s in every stage that probes.
    from scipy.optimize import minimize

    lower = torch.linalg.cholesky(curvature + torch.diag(decay))

    def plain(moved: NDArray[np.float64]) -> Tensor:
        weights = torch.from_numpy(moved).to(x.device).view_as(start)
        found: Tensor = torch.linalg.solve_triangular(lower, weights, upper=False, left=False)
        return found

    def objective(moved: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = _objective(x, y, plain(moved), decay)
        slope = torch.linalg.solve_triangular(lower.T, slope, upper=True, left=False)
        return float(value), slope.cpu().numpy().ravel()

    found = minimize(
        objective, (start @ lower).cpu().numpy().ravel(), method="L-BFGS-B", jac=True,
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": tolerance, "ftol": 0, "maxcor": 10},
    )  # fmt: skip
    # Where rounding ends the line search just above the tolerance, that is the optimum too.
    if abs(found.jac).max() > max(tolerance, ROUNDING):
        raise ValueError(
            f"a probe found no optimum in {found.nit} steps; raise its strength ({float(decay[0]):g})"
        )
    return plain(found.x)


def _objective(x: Tensor, y: Tensor, weights: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """The objective and its gradient, written out: two matrix products, no graph."""
    score = x @ weights.T  # (N, K)
    total = score.logsumexp(1, keepdim=True)
    if y.ndim == 2:
        value = (total - (score * y).sum(1, keepdim=True)).mean() + 0.5 * (decay * weights * weights).sum()
        return value, ((score - total).exp_() - y).T @ x / len(x) + decay * weights
    target = y[:, None]
    value = (total - score.gather(1, target)).mean() + 0.5 * (decay * weights * weights).sum()
    wrong = (score - total).exp_().scatter_add_(1, target, -torch.ones_like(total))
    return value, wrong.T @ x / len(
        x
    ) + decay * weights  # in this order: x.T @ wrong is four times slower on a CPU


def predict(x: Tensor, weights: Tensor) -> Tensor:
    """(N,) classes in 0 .. K - 1."""
    return (x @ weights.T).argmax(1)
