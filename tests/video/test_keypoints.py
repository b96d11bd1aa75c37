"""Keypoint propagation: features that tell joints apart find every one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modalities.video.transfers.keypoints import run
from tests.video.scenes import Colours, NoMaps, beside, in_training, scene
from tests.video.toys import tiny, videos

SETTINGS: dict[str, Any] = {
    "seed": 0, "context": 7, "top": 1, "radius": 12, "temperature": 0.05, "side": 64, "sigma": 0.0, "peaks": 3,
    "limit": 9,
}  # fmt: skip
PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def dots(frames: int = 5, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Three joints, each a cell of its own colour on white, that jump about a frame of 128 x 64 (shown as 64 x 64)."""
    rng = np.random.default_rng(seed)
    clip = np.full((frames, 128, 64, 3), 255, np.uint8)
    joints = np.zeros((frames, 3, 2))
    for t in range(frames):
        for k, cell in enumerate(rng.permutation(64)[:3]):
            top, left = 16 * (cell // 8), 8 * (cell % 8)
            clip[t, top : top + 16, left : left + 8] = PALETTE[k]
            joints[t, k] = left + 3.5, top + 7.5
    return clip, joints


def test_an_encoder_that_tells_joints_apart_finds_all(tmp_path: Path) -> None:
    clip, joints = dots()
    found = run(Colours(), scene([clip], joints=[joints]), None, tmp_path, **SETTINGS)
    assert found == {"PCK@0.1": 1, "PCK@0.2": 1, "PCK found@0.1": 1, "PCK found@0.2": 1}
    assert (tmp_path / "joints.png").stat().st_size > 1000


def test_a_joint_that_is_hidden_at_first_is_not_asked_for_and_a_lost_one_is_wrong(tmp_path: Path) -> None:
    clip, joints = dots()
    joints[0, 0] = np.nan
    found = run(Colours(), scene([clip], joints=[joints]), None, tmp_path, **SETTINGS)
    assert found["PCK@0.1"] == 1
    clip[2:] = 255  # every place looks like the ground from here on: no map has anything in it
    found = run(Colours(), scene([clip], joints=[joints]), None, tmp_path, **SETTINGS)
    assert found["PCK@0.1"] == 1 / 4 and found["PCK found@0.1"] == 1


def test_further_sets_have_names_of_their_own(tmp_path: Path) -> None:
    clip, joints = dots()
    known = scene([clip], joints=[joints])
    found = run(Colours(), beside(in_training(known), known), None, tmp_path, **SETTINGS)
    assert found["davis/PCK@0.1"] == 1 and "PCK@0.1" not in found


def test_where_it_does_not_apply_there_is_nothing_to_report(tmp_path: Path) -> None:
    clip, joints = dots()
    assert run(Colours(), scene([clip]), None, tmp_path, **SETTINGS) == {}
    assert run(NoMaps(), scene([clip], joints=[joints]), None, tmp_path, **SETTINGS) == {}


def test_a_random_encoder_is_judged_on_toys(tmp_path: Path) -> None:
    found = run(tiny(), videos(16), None, tmp_path, **SETTINGS | {"sigma": 1.0, "top": 10})
    assert 0 <= found["PCK@0.1"] <= found["PCK@0.2"] <= 1


def test_a_side_that_cells_do_not_fill_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"keypoints\.side is 60"):
        run(Colours(), videos(8), None, tmp_path, **SETTINGS | {"side": 60})
