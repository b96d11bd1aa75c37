"""Rows without an encoder: standing still, optical flow and correlation, judged as encoders are."""

import numpy as np
import pytest

from modalities.video.baselines import correlation, flow, identity
from tests.conftest import params
from tests.video.scenes import alone, bars, beside, in_training, scene, sprites, texture


def test_baselines_are_asked_about_as_much_as_encoders() -> None:
    wanted, rows = params()["video"]["transfers"], params()["video"]["baselines"]
    assert rows["identity"]["limit"] == rows["flow"]["limit"]
    assert wanted["propagation"]["limit"] == wanted["keypoints"]["limit"] == rows["flow"]["limit"]
    assert wanted["localisation"]["limit"] == rows["identity"]["patches"] == rows["correlation"]["patches"]


def test_standing_still_scores_what_overlap_is_left() -> None:
    clip, masks = bars(frames=5, step=4, wide=16)
    found = identity.run(scene([clip], [masks]), seed=0, limit=9, patches=9)
    # After 4, 8 and 12 pixels, 12, 8 and 4 columns of 16 are still right, of 20, 24 and 28 that are either's.
    assert found["propagation.J"] == pytest.approx(np.mean([12 / 20, 8 / 24, 4 / 28]))
    assert found["propagation.J recall"] == pytest.approx(1 / 3)
    assert not any(key.startswith("keypoints") for key in found)


def test_standing_still_is_near_in_boxes_and_joints_by_what_they_moved() -> None:
    clip, masks = sprites()
    joints = np.zeros((7, 2, 2))
    for t in range(7):
        joints[t] = [[16 + 4 * t, 8 + 2 * t], [40 + 4 * t, 32 + 2 * t]]
    found = identity.run(scene([clip], [masks], [joints]), seed=0, limit=9, patches=9)
    assert found["localisation.centre error"] == pytest.approx(np.hypot(12, 24) / 24)
    away = np.hypot(4, 2) * np.arange(1, 7) / (0.6 * np.hypot(24, 24))
    assert found["keypoints.PCK@0.2"] == pytest.approx((away <= 0.2).mean())


def test_flow_carries_what_moves_smoothly_and_standing_still_does_not() -> None:
    frames, step = 6, 3
    wide = texture(0, 64, 128)
    clip = np.stack([wide[:, 20 - t * step : 116 - t * step] for t in range(frames)])
    masks = np.zeros((frames, 64, 96), np.uint8)
    joints = np.zeros((frames, 2, 2))
    for t in range(frames):
        masks[t, 20:44, 16 + t * step : 40 + t * step] = 2
        joints[t] = [[16 + t * step, 20], [40 + t * step, 44]]
    corpus = scene([clip], [masks], [joints])
    moved, still = flow.run(corpus, seed=0, limit=9), identity.run(corpus, seed=0, limit=9, patches=9)
    assert moved["propagation.J"] > 0.9 > 0.7 > still["propagation.J"]
    assert moved["keypoints.PCK@0.1"] == 1 > still["keypoints.PCK@0.1"]


def test_correlation_finds_the_pixels_themselves() -> None:
    found = correlation.run(alone(sprites()), seed=0, patches=9)
    assert found == {"localisation.IoU@0.5": 1, "localisation.centre error": 0}


def test_sets_have_names_of_their_own_and_nothing_is_said_of_what_is_not_there() -> None:
    known = alone(bars())
    both = beside(in_training(known), known)
    assert "propagation (davis).J&F" in identity.run(both, seed=0, limit=9, patches=9)
    assert "propagation.J&F" not in flow.run(both, seed=0, limit=9)
    bare = scene([np.zeros((6, 64, 96, 3), np.uint8)])
    assert identity.run(bare, seed=0, limit=9, patches=9) == {}
    assert flow.run(bare, seed=0, limit=9) == correlation.run(bare, seed=0, patches=9) == {}
