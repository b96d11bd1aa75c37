"""sRGB in [0, 1] to CIE Lab and back (D65, 2 degrees), on whole batches and any device, in float32.

L in [0, 100]; a and b in about [-110, 110] for colours of the sRGB gamut.
"""

import torch
from torch import Tensor

# IEC 61966-2-1: linear RGB to XYZ, and the white point that its rows sum to.
XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
EDGE = 6 / 29  # below it the cube root becomes a line


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    with torch.autocast(
        x.device.type, enabled=False
    ):  # in bf16 a product is off by more than a just visible step
        return torch.einsum("ij,njhw->nihw", matrix, x)


def to_lab(images: Tensor) -> Tensor:
    """(N, 3, H, W) sRGB in [0, 1] to Lab."""
    rgb = images.float()
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4, rgb / 12.92)
    white = torch.tensor(WHITE, device=rgb.device).view(1, 3, 1, 1)
    xyz = _mix(torch.tensor(XYZ, device=rgb.device), linear) / white
    root = torch.where(xyz > EDGE**3, xyz.clamp_min(EDGE**3) ** (1 / 3), xyz / (3 * EDGE**2) + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def to_rgb(lab: Tensor) -> Tensor:
    """(N, 3, H, W) Lab to sRGB, clipped to [0, 1]: Lab holds colours that no screen shows."""
    lightness, a, b = lab.float().unbind(1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], 1)
    white = torch.tensor(WHITE, device=lab.device).view(1, 3, 1, 1)
    xyz = torch.where(root > EDGE, root**3, 3 * EDGE**2 * (root - 4 / 29)) * white
    linear = _mix(torch.linalg.inv(torch.tensor(XYZ, device=lab.device)), xyz)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.clamp(0, 1)
