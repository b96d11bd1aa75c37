"""What motion alone scores: the first frame's mask and joints, carried along by optical flow from frame to frame.

Dense inverse search, Kroeger et al. 2016, arXiv:1603.03590, which nothing has learnt.
"""

import numpy as np
from numpy.typing import NDArray

from modalities.video.corpus import Videos
from modalities.video.propagation import judging, pck
from modalities.video.propagation.optical_flow import carry_labels, carry_points, flows

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]


def run(corpus: Videos, *, seed: int, limit: int) -> dict[str, float]:
    """`limit` videos, 0: all: those of the transfers `propagation` and `keypoints`, so that all are asked the same."""

    def mask(frames: Pixels, first: Pixels) -> Pixels:
        return carry_labels(first, flows(frames, back=True))

    def points(frames: Pixels, first: Points) -> Points:
        size = np.array(frames.shape[1:3])
        return pck.shares(carry_points(pck.pixels(first, size), flows(frames, back=False)), size)

    return judging.by_task("propagation", judging.masks(corpus, limit, mask, None)) | judging.by_task(
        "keypoints", judging.joints(corpus, limit, points, None)
    )
