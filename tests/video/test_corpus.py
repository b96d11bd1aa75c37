"""The corpus of videos: every frame is where it is said to be, whatever the shapes, shards and order of videos."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from modalities import rebuild
from modalities.image.augment import plain
from modalities.video.augment import crop_boxes, crop_flip, cut, squares, uniform, whole
from modalities.video.corpus import Videos
from modalities.video.encoders import FrameNet, Frames


def slow(corpus: Videos, video: int, frame: int) -> NDArray[np.uint8]:
    """A frame, by walking over all that lies before it in its shard."""
    shard, first = corpus.where[video].tolist()
    height, width = corpus.sizes[video].tolist()
    start = first + frame * height * width * 3
    stored: NDArray[np.uint8] = corpus.shards[shard]
    return stored[start : start + height * width * 3].reshape(height, width, 3)


def test_frames_are_those_of_their_videos(toy_videos: Videos) -> None:
    lying = np.flatnonzero(toy_videos.sizes[:, 0] < toy_videos.sizes[:, 1])
    videos, numbers = np.array([lying[0], lying[-1], lying[0], lying[3]]), np.array([3, 0, 15, 7])
    found = toy_videos.frames(videos, numbers)
    for row, video, number in zip(found, videos, numbers, strict=True):
        np.testing.assert_array_equal(row, slow(toy_videos, video, number))
    clip = toy_videos.clip(5, 2, 9)
    np.testing.assert_array_equal(clip, [slow(toy_videos, 5, t) for t in range(2, 9)])
    assert len(np.unique(clip, axis=0)) > 1


def test_shapes_that_do_not_stack_and_frames_that_are_not_there(toy_videos: Videos) -> None:
    with pytest.raises(ValueError, match=r"frames of 2 shapes do not stack; read them with `augment\.cut`"):
        toy_videos.frames(np.array([0, 4]), np.array([0, 0]))
    for frame in (-1, 16):
        with pytest.raises(ValueError, match=f"video 0003 has 16 frames, and no frame {frame}"):
            toy_videos.frames(np.array([3]), np.array([frame]))
        with pytest.raises(ValueError, match=f"no frame {frame}"):
            squares(toy_videos, np.array([3]), np.array([frame]), 8)


def test_a_selection_keeps_everything_of_its_rows(toy_videos: Videos) -> None:
    keep = np.array([9, 2, 14])
    some = toy_videos.take(keep)
    for place, row in enumerate(keep):
        np.testing.assert_array_equal(some.clip(place), toy_videos.clip(row))
        assert some.ids[place] == toy_videos.ids[row] and some.groups[place] == toy_videos.groups[row]
        np.testing.assert_array_equal(some.masks(place, 3), toy_videos.masks(row, 3))
        np.testing.assert_array_equal(some.joints(place, 3), toy_videos.joints(row, 3))
    np.testing.assert_array_equal(
        some.shot_table(), [[0, 0, 8], [0, 8, 16], [1, 0, 16], [2, 0, 8], [2, 8, 16]]
    )
    assert set(toy_videos.only("test").splits) == {"test"} and toy_videos.masks(0, 99) is None
    with pytest.raises(ValueError, match="no video in its test split"):
        toy_videos.only("train").only("test")


def test_crops_of_any_shapes_are_those_of_torch_one_by_one(toy_videos: Videos) -> None:
    rng = np.random.default_rng(0)
    videos, frames = rng.integers(0, 24, 20), rng.integers(0, 16, 20)
    boxes = crop_boxes(rng, toy_videos.sizes[videos], (0.2, 1.0))
    flips = rng.random(20) < 0.5
    found = cut(toy_videos, videos, frames, plain(boxes, flips), 12)
    for k, (top, left, height, width) in enumerate(boxes):
        inside = slow(toy_videos, videos[k], frames[k])[top : top + height, left : left + width]
        image = torch.from_numpy(inside.copy()).permute(2, 0, 1)[None].float() / 255
        image = F.interpolate(image, (12, 12), mode="bicubic", antialias=True, align_corners=False).clamp(
            0, 1
        )
        image = image.flip(3) if flips[k] else image
        torch.testing.assert_close(found[k], image[0], atol=1e-3, rtol=0)


def test_other_devices_make_the_same_crops(toy_videos: Videos) -> None:
    rng = np.random.default_rng(0)
    videos, frames = rng.integers(0, 24, 20), rng.integers(0, 16, 20)
    draws = plain(crop_boxes(rng, toy_videos.sizes[videos], (0.2, 1.0)), rng.random(20) < 0.5)
    one = cut(toy_videos, videos, frames, draws, 12)
    other = cut(toy_videos, videos, frames, draws, 12, device="cpu:0")
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_boxes_lie_in_their_frames_and_have_their_share(toy_videos: Videos) -> None:
    sizes = np.tile(np.array([[20, 40], [40, 20], [30, 31], [8, 90]]), (500, 1))
    boxes = crop_boxes(np.random.default_rng(0), sizes, (0.3, 0.6))
    assert (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= sizes).all() and (boxes[:, 2:] > 0).all()
    share = boxes[:, 2:].prod(1) / sizes.prod(1)
    assert 0.25 < share[sizes[:, 0] == 20].min() < 0.35 < 0.5 < share[sizes[:, 0] == 20].max() < 0.65
    assert (boxes[sizes[:, 1] == 90] == [0, 41, 8, 8]).all()  # no box fits: the middle
    np.testing.assert_array_equal(whole(sizes[:2]), [[0, 10, 20, 20], [10, 0, 20, 20]])


def test_boxes_that_cannot_be_read_are_refused(toy_videos: Videos) -> None:
    one = np.array([0])
    for box in ([0, 0, 0, 4], [-32, 0, 4, 4], [0, 21, 4, 40]):
        with pytest.raises(ValueError, match="a box of"):
            cut(toy_videos, one, one, plain(np.array([box])), 8)
    with pytest.raises(ValueError, match="1 videos, 2 frames, 1 draws"):
        cut(toy_videos, one, np.array([0, 1]), plain(np.array([[0, 0, 4, 4]])), 8)


def test_a_clip_has_one_crop_and_one_flip(toy_videos: Videos) -> None:
    still = np.flatnonzero((toy_videos.labels == 0) & (np.arange(24) % 5 != 4))
    numbers = uniform(toy_videos.counts[still], 4)
    clips = crop_flip(toy_videos, still, numbers, 12, np.random.default_rng(1))
    assert clips.shape == (len(still), 3, 4, 12, 12)
    assert torch.equal(clips, clips[:, :, :1].expand(-1, -1, 4, -1, -1))
    np.testing.assert_array_equal(uniform(np.array([16, 3]), 4), [[2, 6, 10, 14], [0, 1, 1, 2]])


def test_an_encoder_rebuilt_from_its_spec_is_the_same(toy_videos: Videos, tiny_frames: Frames) -> None:
    clips = tiny_frames.eval().read(toy_videos, np.array([3, 8]))
    assert clips.shape == (2, 3, 4, 16, 16)
    again = rebuild("video", tiny_frames.spec).eval()
    again.load_state_dict(tiny_frames.state_dict())
    assert torch.equal(again(clips), tiny_frames(clips))


@pytest.mark.parametrize("stem", ["3x3", "3x3-pool", "7x7"])
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_maps_are_eight_pixels_apart_and_no_stage_is_coarser_than_asked(stem: str, stride: int) -> None:
    net = FrameNet(arch="resnet18", width=8, stem=stem, norm="batch", side=64, stride=stride)  # type: ignore[arg-type]
    natural = {"3x3": 8, "3x3-pool": 16, "7x7": 32}[stem]
    fine, last = net.maps(torch.rand(2, 3, 64, 96))[-1], []
    net.stages[-1].register_forward_hook(lambda module, given, out: last.append(out))
    assert net(torch.rand(2, 3, 64, 96)).shape == (2, 64)
    assert fine.shape[2:] == (64 // min(8, stride, natural), 96 // min(8, stride, natural))
    assert last[0].shape[2] == 64 // min(stride, natural)
