"""Depth, normals and contours as a network predicts them, at half the side: targets, heads, losses, blind guesses.

N images, s side of the deepest map, h = S/2 places a side, n of them in an image.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.image.shared.upward import Deepest, Upward, doublings


class Surfaces(NamedTuple):
    """Of what is known, or what is predicted."""

    depth: Tensor  # (N, 1, h, h), logarithm of metres
    normals: Tensor  # (N, 3, h, h), of length one
    contour: Tensor  # (N, 1, h, h), 0 or 1, or its logit
    valid: Tensor  # (N, 1, h, h), false where there is nothing, or too far away


def halved(depth: NDArray[np.float32], normals: NDArray[np.float32], contour: NDArray[np.bool_]) -> Surfaces:
    """Targets at S/2 of (N, S, S), (N, S, S, 3) and (N, S, S): of two by two pixels the nearest that is valid.

    Depth and normal are of the same pixel and never averaged over an edge; a contour is one if any of the four is.
    """
    count, side = depth.shape[:2]
    near = np.where(depth > 0, depth, np.inf).reshape(count, side // 2, 2, side // 2, 2)
    near = near.transpose(0, 1, 3, 2, 4).reshape(count, side // 2, side // 2, 4)
    which = near.argmin(-1)[..., None]
    least = np.take_along_axis(near, which, -1)[..., 0]
    faces = normals.reshape(count, side // 2, 2, side // 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    faces = faces.reshape(count, side // 2, side // 2, 4, 3)
    face = np.take_along_axis(faces, which[..., None], 3)[..., 0, :]
    valid = np.isfinite(least)
    marked = contour.reshape(count, side // 2, 2, side // 2, 2).any((2, 4))
    unit = F.normalize(torch.from_numpy(face).permute(0, 3, 1, 2).contiguous(), dim=1)
    logarithm = np.log(np.where(valid, least, 1.0)).astype(np.float32)
    first = (torch.from_numpy(logarithm).unsqueeze(1), unit, torch.from_numpy(marked).float().unsqueeze(1))
    return Surfaces(*first, torch.from_numpy(valid).unsqueeze(1))


class Heads(nn.Module):
    """Up-convolutions on the deepest map (N, D, s, s), then one 1x1 convolution a task."""

    def __init__(self, last: Deepest, *, channels: int, out: int, key: str) -> None:
        super().__init__()
        self.up = Upward(last.channels, channels=channels, times=doublings(last.side, out, key))
        self.depth, self.normals, self.contour = (nn.Conv2d(self.up.out, k, 1) for k in (1, 3, 1))
        nn.init.constant_(self.depth.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, deep: Tensor) -> Surfaces:
        x = self.up(deep)
        depth, contour = self.depth(x).float(), self.contour(x).float()
        return Surfaces(
            depth,
            F.normalize(self.normals(x).float(), dim=1),
            contour,
            torch.ones_like(depth, dtype=torch.bool),
        )


def depth_loss(predicted: Tensor, true: Tensor, valid: Tensor, share: float = 0.5) -> Tensor:
    """(1/n) Σd² - share ((1/n) Σd)² of the differences d of logarithms, the mean over images.

    Scale-invariant as in Eigen, Puhrsch and Fergus 2014, arXiv:1406.2283: at a share of 1 a common factor of all depths
    costs nothing.
    """
    known = valid.flatten(1).float()
    d = (predicted - true).flatten(1) * known
    count = known.sum(1).clamp_min(1)
    return (d.square().sum(1) / count - share * (d.sum(1) / count).square()).mean()


def normal_loss(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """1 - the mean of n·n̂ over an image's valid places, the mean over images."""
    known = valid.flatten(1).float()
    apart = (1 - (predicted * true).sum(1)).flatten(1)
    return ((apart * known).sum(1) / known.sum(1).clamp_min(1)).mean()


def contour_weights(true: Tensor) -> Tensor:
    """(N, 1, h, h): positives of an image weigh n-/n and negatives n+/n, so that each kind weighs the same."""
    share = true.mean((1, 2, 3), keepdim=True)
    return torch.where(true > 0, 1 - share, share)


def contour_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Class-balanced binary cross-entropy (HED, Xie and Tu 2015, arXiv:1504.06375), the mean over places."""
    return F.binary_cross_entropy_with_logits(logits, true, weight=contour_weights(true))


def depth_error(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """The mean absolute difference of logarithms: about the relative error."""
    return ((predicted - true).abs() * valid).sum() / valid.sum().clamp_min(1)


def normal_error(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """The mean angle, in degrees."""
    angle = torch.rad2deg((predicted * true).sum(1, keepdim=True).clamp(-1, 1).acos())
    return (angle * valid).sum() / valid.sum().clamp_min(1)


def blind(true: Surfaces) -> Surfaces:
    """The best answer, the same for all images, at each place: floors are below and near, whatever is shown."""
    known = true.valid.float()
    hidden = torch.where(true.valid, true.depth, torch.nan)
    depth = hidden.nanmedian(0, keepdim=True).values.nan_to_num(float(hidden.nanmedian().nan_to_num(0.0)))
    face = F.normalize((true.normals * known).sum(0, keepdim=True), dim=1)
    weight = contour_weights(true.contour)
    yes, no = (weight * true.contour).sum(0, keepdim=True), (weight * (1 - true.contour)).sum(0, keepdim=True)
    logit = (yes.clamp_min(1e-6) / no.clamp_min(1e-6)).log()
    wide = [x.expand_as(y) for x, y in zip((depth, face, logit), true[:3], strict=True)]
    return Surfaces(wide[0], wide[1], wide[2], true.valid)
