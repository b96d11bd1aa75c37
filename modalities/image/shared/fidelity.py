"""How near a made picture is to the real one: PSNR and SSIM, a number a picture.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli 2004 (IEEE TIP 13(4)): means, variances and covariance under a
Gaussian of 1.5 pixels in windows of 11, within each channel; windows that reach over the border are left out.
N pictures in [0, 1], (N, C, S, S).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """In dB, (N,). Equal pictures count as 100 dB."""
    error = (made.float() - real.float()).square().flatten(1).mean(1)
    return -10 * error.clamp_min(1e-10).log10()


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """(N,). Raises ValueError for pictures that no window fits in."""
    made, real = made.float(), real.float()
    if min(real.shape[2:]) <= 2 * RADIUS:
        raise ValueError(
            f"SSIM looks through windows of {2 * RADIUS + 1} pixels; {tuple(real.shape[2:])} is less"
        )
    mean, other = _smooth(made), _smooth(real)
    variance = _smooth(made * made) - mean * mean
    beside = _smooth(real * real) - other * other
    both = _smooth(made * real) - mean * other
    found = (2 * mean * other + C1) * (2 * both + C2)
    return (found / ((mean * mean + other * other + C1) * (variance + beside + C2))).flatten(1).mean(1)


def _smooth(x: Tensor) -> Tensor:
    line = torch.arange(-RADIUS, RADIUS + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (line / SIGMA) ** 2)
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    flat = x.flatten(0, 1).unsqueeze(1)  # each channel on its own
    flat = F.conv2d(F.conv2d(flat, weights), weights.mT)
    return flat.view(*x.shape[:2], *flat.shape[2:])
