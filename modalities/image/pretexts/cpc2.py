"""CPC v2: CPC, but from four sides, with layer norm, larger patches, and colour and geometry changed patch by patch.

Hénaff et al., ICML 2020, arXiv:1905.09272.
N images, M patches, C channels, P side of a patch in pixels, G rows and columns of the grid, D = encoder.dim.

What differs from `cpc` are keys of its block and what happens to a patch: most lose two of three channels, each its
own; they are flipped, turned, sheared. The paper's AutoAugment operations and elastic deformation are left out, and its
ResNet-161 is the shared network.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, Norm
from modalities.image.pretexts.cpc import CPC
from modalities.image.shared.channel_drop import drop, kept


class CPC2(CPC):
    name = "cpc2"

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        patch: float,
        stride: float,
        shift: float,
        norm: Norm,
        directions: int,
        ignore: int,
        steps: int,
        layers: int,
        hidden: int,
        target: int,
        scale: float,
        drop: float,
        flip: float,
        bent: float,
        turn: float,
        shear: float,
    ) -> None:
        super().__init__(
            encoder, corpus, built, patch=patch, stride=stride, inner=1.0, shift=shift, gray=False, norm=norm,
            directions=directions, ignore=ignore, steps=steps, layers=layers, hidden=hidden, target=target, scale=scale,
        )  # fmt: skip
        for key, value in (("drop", drop), ("flip", flip), ("bent", bent)):
            if not 0 <= value <= 1:
                raise ValueError(f"cpc2.model.{key} is {value}; use a probability, 0 to 1")
        for key, value in (("turn", turn), ("shear", shear)):
            if not 0 <= value <= 45:
                raise ValueError(f"cpc2.model.{key} is {value}; use degrees, 0 to 45")
        self.drop, self.flip, self.bent, self.turn, self.shear = drop, flip, bent, turn, shear

    def changed(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """Each patch (M, C, P, P) flipped, bent and robbed of two channels by draws of its own."""
        stay = kept(torch.from_numpy(rng.random(len(patches)) < self.drop), rng)
        return drop(moved(patches, self.affine(len(patches), rng)), stay[:, :, None, None], self.mean)

    def affine(self, count: int, rng: np.random.Generator) -> Tensor:
        """Matrices (M, 2, 2) from places in the result to places in the patch: a turn, a shear, a flip."""
        bent = rng.random(count) < self.bent
        turn, shear = np.radians([[self.turn], [self.shear]]) * rng.uniform(-1, 1, (2, count)) * bent
        flip = np.where(rng.random(count) < self.flip, -1.0, 1.0)
        cosine, sine = np.cos(turn), np.sin(turn)
        matrices = np.array(
            [[cosine * flip, cosine * np.tan(shear) - sine], [sine * flip, sine * np.tan(shear) + cosine]]
        )
        return torch.from_numpy(matrices.transpose(2, 0, 1)).float()


def moved(patches: Tensor, matrices: Tensor) -> Tensor:
    """Patches (M, C, P, P) read at x -> A x, bilinear, the origin in their middle; reflected outside."""
    places = F.affine_grid(F.pad(matrices, (0, 1)), list(patches.shape), align_corners=False)
    return F.grid_sample(patches, places, mode="bilinear", padding_mode="reflection", align_corners=False)
