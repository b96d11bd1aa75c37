"""Where did this patch go? The window of a later frame whose vector is nearest to that of the patch.

A diagnostic of `tracking` (Wang and Gupta 2015, arXiv:1505.00687), which ranks patches and never regresses a place.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.common.device import device
from modalities.video.corpus import Videos
from modalities.video.propagation import judging
from modalities.video.propagation.held_out import boxes
from modalities.video.propagation.search import nearest


def run(
    encoder: Encoder, corpus: Videos, fit: Any, out: Path, *, seed: int, side: int, limit: int
) -> dict[str, float]:
    """Of at most `limit` patches of held-out videos, and of as many of each further set: `davis/IoU@0.5`.

    side: that windows are resized to, in pixels; 0: the encoder's own, which networks by name insist on. Empty where
    no patch moves. Nothing here is trained or left to chance: `fit` and `seed` are not used.
    """
    where, training = device(), encoder.training
    encoder.to(where).eval()

    def embed(patches: Tensor) -> Tensor:
        size = side or int(encoder.side)  # type: ignore[arg-type]
        shown = F.interpolate(patches.to(where), (size, size), mode="bilinear", antialias=True)
        vectors: Tensor = encoder(shown.clamp(0, 1))
        return vectors.float()

    def locate(
        start: NDArray[np.uint8], box: NDArray[np.float64], end: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        with torch.no_grad():
            return nearest(embed, start, box, end)

    try:
        return judging.by_set(boxes(corpus, limit, locate, out))
    finally:
        encoder.train(training)
