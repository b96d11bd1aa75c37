"""Patch localisation: features that are the pixels find what moved, and held-out patches are where masks say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.base import Encoder
from modalities.video.propagation.held_out import around, exact, mined
from modalities.video.transfers.localisation import run
from tests.video.scenes import Colours, alone, beside, in_training, scene, sprites, texture
from tests.video.toys import tiny, videos


class Flat(Encoder):
    """Tells nothing apart: the first window is as near as all others."""

    dim = 1
    side = 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(x), 1)


def test_pixels_find_a_patch_that_moved(tmp_path: Path) -> None:
    corpus = alone(sprites())
    found = run(Colours(), corpus, None, tmp_path, seed=0, side=16, limit=5)
    # The square moved by 12 and 24 pixels, a multiple of the grid's 3; texture is shrunk from 24 to 16 pixels.
    assert found["IoU@0.5"] == 1 and found["centre error"] < 0.1
    assert (tmp_path / "boxes.png").stat().st_size > 1000
    nothing = run(Flat(), corpus, None, tmp_path, seed=0, side=16, limit=5)
    away = np.hypot(8 + 12, 16 + 24) / 24  # from the frame's corner
    assert nothing == {"IoU@0.5": 0, "centre error": pytest.approx(away)}


def test_boxes_are_those_of_the_objects_a_second_apart() -> None:
    clip, masks = sprites(frames=9)
    large = masks.repeat(2, 1).repeat(2, 2)
    for corpus in (scene([clip], [masks]), scene([clip], [large])):
        (track,) = exact(corpus, 9)
        assert (track.frame0, track.frame1) == (0, 6)
        assert track.box0.tolist() == [8, 16, 24, 24] and track.box1.tolist() == [20, 40, 24, 24]
    two = scene([clip, clip], [masks, masks])
    assert [len(exact(two, limit)) for limit in (0, 1, 2, 9)] == [2, 1, 2, 2]
    masks[:, :30, :30] = 0
    masks[0, 0, 0] = 2  # an object of one pixel is too small to look for
    assert len(exact(scene([clip], [masks]), 9)) == 1


def test_a_box_holds_its_mask_tightly() -> None:
    mask = np.zeros((20, 40), bool)
    mask[3:7, 10] = mask[5, 10:30] = True
    assert around(mask, np.array([10, 20])).tolist() == [1.5, 5, 2, 10]


def test_without_masks_patches_are_mined(tmp_path: Path) -> None:
    # A textured square of half the frame's height moves over a texture that pans the other way.
    wide, square, frames = texture(0, 96, 200), texture(5, 56, 56), 16
    clip = np.stack([wide[:, 2 * t : 2 * t + 128] for t in range(frames)]).copy()
    for t in range(frames):
        clip[t, 20:76, 8 + 3 * t : 64 + 3 * t] = square
    corpus = scene([clip], fps=12.0)
    tracks = mined(corpus, 3)
    assert tracks and all(track.frame1 - track.frame0 == 12 for track in tracks)
    assert tracks[0].box1[1] - tracks[0].box0[1] == pytest.approx(36, abs=3)
    assert run(Colours(), corpus, None, tmp_path, seed=0, side=16, limit=3)["IoU@0.5"] == 1
    assert run(Colours(), in_training(corpus), None, tmp_path, seed=0, side=16, limit=3) == {}
    assert set(run(Colours(), beside(in_training(corpus), corpus), None, tmp_path, seed=0, side=16, limit=3)) == {
        "davis/IoU@0.5", "davis/centre error",
    }  # fmt: skip


def test_the_encoder_stays_as_it_was(tmp_path: Path) -> None:
    encoder = tiny().train()
    found = run(encoder, videos(16), None, tmp_path, seed=0, side=16, limit=4)
    assert 0 <= found["IoU@0.5"] <= 1 and encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
