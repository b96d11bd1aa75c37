"""Video object segmentation: the mask of the first frame, carried along by frozen features.

DAVIS, Pont-Tuset et al. 2017, arXiv:1704.00675; by affinities as in Vondrick et al. 2018, arXiv:1806.09594, with the
settings of Jabri et al. 2020, arXiv:2006.14613.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.video.corpus import Videos
from modalities.video.propagation import judging
from modalities.video.propagation.affinity import propagate, spread
from modalities.video.propagation.dense import dense, fitted, has_maps

Pixels = NDArray[np.uint8]


def run(
    encoder: Encoder,
    corpus: Videos,
    fit: Any,
    out: Path,
    *,
    seed: int,
    context: int,
    top: int,
    radius: float,
    temperature: float,
    stretch: bool,
    side: int,
    limit: int,
) -> dict[str, float]:
    """J and F of at most `limit` held-out videos, 0: all, with masks, and of as many of each further set: `davis/J&F`.

    side: short side that frames are resized to, in pixels; a cell of features is 8 of them. stretch: see `decided`.
    Empty where the encoder has no dense features or no video has masks. Nothing here is trained or left to chance:
    `fit` and `seed` are not used.
    """
    if not has_maps(encoder):
        return {}

    def carry(frames: Pixels, first: Pixels) -> Pixels:
        features = dense(encoder, frames, fitted(frames.shape[1], frames.shape[2], side))
        objects = np.append(0, np.unique(first[first > 0]))  # 0: the ground, which is carried like an object
        shown = torch.from_numpy(first == objects[:, None, None]).to(features)
        labels = propagate(
            features,
            spread(shown, *features.shape[2:]),
            context=context,
            top=top,
            radius=radius,
            temperature=temperature,
        )
        return objects[decided(labels, first.shape, stretch)].astype(np.uint8)

    return judging.by_set(judging.masks(corpus, limit, carry, out))


def decided(labels: Tensor, size: tuple[int, ...], stretch: bool) -> NDArray[np.int64]:
    """(T, *size): the label of each pixel that is largest in (T, K, h, w), enlarged; one frame at a time.

    stretch: bring each label's least and largest value in a frame to 0 and 1 before, as the code of Wang et al. 2019
    (arXiv:1903.07593) and Caron et al. 2021 (arXiv:2104.14294) does. Labels fade into the ground as they are
    averaged, and an object of few cells would be lost within some frames.
    """
    found = []
    for each in labels:
        large = F.interpolate(each[None], size=size, mode="bilinear", align_corners=False)[0]  # (K, *size)
        if stretch:
            large = large - large.amin((1, 2), keepdim=True)
            large = large / large.amax((1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)
        found.append(large.argmax(0))
    return torch.stack(found).cpu().numpy()
