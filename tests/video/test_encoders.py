"""Encoders of clips: what a clip's vector is made of, and what of that a motion shows in."""

from itertools import pairwise

import pytest
import torch

from modalities.video.encoders import Frames, Lightness
from tests.video.toys import tiny


def slow(frames: Frames, clip: torch.Tensor) -> torch.Tensor:
    """One clip (3, T, S, S), number by number."""
    vectors = [frames.encoder(clip[None, :, t])[0].tolist() for t in range(clip.shape[1])]
    mean, away, step = [], [], []
    for column in zip(*vectors, strict=True):
        middle = sum(column) / len(column)
        mean.append(middle)
        away.append(2 * sum(abs(value - middle) for value in column) / len(column))
        step.append(2 * sum(abs(b - a) for a, b in pairwise(column)) / (len(column) - 1))
    return torch.tensor(mean + away + step)


@torch.no_grad()
def test_a_clip_is_the_mean_of_its_frames_their_deviation_and_their_steps() -> None:
    frames = tiny().eval()
    clips = torch.rand(3, 3, 5, 16, 16)
    found = frames(clips)
    assert found.shape == (3, frames.dim) and frames.dim == 3 * frames.encoder.dim
    for clip, vector in zip(clips, found, strict=True):
        torch.testing.assert_close(vector, slow(frames, clip), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_mean_cannot_tell_what_order_and_standing_still_change() -> None:
    plain, moving = tiny(motion=0.0).eval(), tiny().eval()
    clip = torch.rand(1, 3, 1, 16, 16) + torch.linspace(0, 0.5, 4)[:, None, None]
    shuffled = clip[:, :, [2, 0, 3, 1]]
    torch.testing.assert_close(plain(clip), plain(shuffled))
    size = plain.dim
    assert plain.dim == plain.encoder.dim and moving.dim == 3 * size
    one, other = moving(clip)[0], moving(shuffled)[0]
    torch.testing.assert_close(one[: 2 * size], other[: 2 * size], atol=1e-5, rtol=1e-4)
    assert one[2 * size :].sum() < 0.7 * other[2 * size :].sum()  # it goes to and fro
    still = moving(clip[:, :, :1].expand(-1, -1, 4, -1, -1))[0]
    assert still[:size].any() and still[size:].abs().max() < 1e-5


@torch.no_grad()
def test_a_frame_is_a_clip_that_does_not_move() -> None:
    for frames in (tiny().eval(), tiny().train()):
        images = torch.rand(40, 3, 16, 16)  # more than are encoded at a time
        found = frames(images)
        torch.testing.assert_close(found, frames(images[:, :, None]), atol=1e-5, rtol=1e-4)
        assert not found[:, frames.encoder.dim :].any()
        torch.testing.assert_close(
            found[:, : frames.encoder.dim], frames.vectors(images), atol=1e-5, rtol=1e-4
        )


def test_what_stands_still_does_not_make_gradients_that_are_no_numbers() -> None:
    frames = tiny().eval()
    frames(torch.full((2, 3, 4, 16, 16), 0.5)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in frames.parameters())


def test_others_of_its_kind_read_clips_alike() -> None:
    frames = tiny(motion=3.0)
    for other in (frames.like(stride=4), frames.around(Lightness(encoder=frames.encoder))):
        assert (other.frames, other.motion) == (4, 3.0) and other.dim == frames.dim
    assert frames.like(stride=4).encoder.spec["stride"] == 4


@pytest.mark.parametrize(("motion", "count"), [(-1.0, 4), (1.0, 1)])
def test_a_weight_that_cannot_be_is_refused(motion: float, count: int) -> None:
    with pytest.raises(ValueError, match=rf"video\.encoder\.motion is {motion}; use 0"):
        Frames(encoder=tiny().encoder, frames=count, motion=motion)
