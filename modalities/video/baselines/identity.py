"""What standing still scores: the first frame's mask, joints and boxes, in every frame."""

import numpy as np

from modalities.video.corpus import Videos
from modalities.video.propagation import judging
from modalities.video.propagation.held_out import boxes


def run(corpus: Videos, *, seed: int, limit: int, patches: int) -> dict[str, float]:
    """`limit` videos and `patches` patches, 0: all: those of the transfers, so that both are asked the same."""
    masks = judging.masks(corpus, limit, lambda frames, first: np.repeat(first[None], len(frames), 0), None)
    joints = judging.joints(corpus, limit, lambda frames, first: np.repeat(first[None], len(frames), 0), None)
    still = boxes(corpus, patches, lambda start, box, end: box, None)
    return (
        judging.by_task("propagation", masks)
        | judging.by_task("keypoints", joints)
        | judging.by_task("localisation", still)
    )
