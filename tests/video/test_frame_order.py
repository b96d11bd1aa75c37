"""Frame order: what is shown must lie in time as its label says, and nothing but order may tell it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.image.augment import Draws
from modalities.video.augment import cut
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.mining.motion import motion
from modalities.video.pretexts.frame_order import FrameOrder, balanced
from tests.conftest import params
from tests.video.toys import tiny, videos

TOY: dict[str, dict[str, Any]] = {"build": {"tuples": 4, "span_max": 0.5, "gap_min": 0.17}}
SPAN, GAP = 6, 3  # frames at 12 a second: .17 s is more than two


def made(corpus: Videos, folder: Path, encoder: Frames | None = None, **changes: Any) -> FrameOrder:
    block = params()["video"]["pretexts"]["frame_order"]
    if not (folder / "tuples.parquet").exists():
        FrameOrder.build(corpus, folder, seed=0, **(block["build"] | TOY["build"] | {"tuples": 40}))
    return FrameOrder(encoder or tiny(), corpus, folder, **(block["model"] | changes))


def test_every_row_of_the_table_holds_by_a_second_reading(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    made(corpus, tmp_path)
    table = pq.read_table(tmp_path / "tuples.parquet").to_pylist()
    speed = np.fromfile(tmp_path / "motion.f32", "<f4")
    assert len(speed) == corpus.counts.sum()
    first = np.insert(corpus.counts.cumsum(), 0, 0)
    for video in range(len(corpus)):
        clip = corpus.clip(video)
        again = motion(clip, 12.0, [tuple(shot) for shot in corpus.shots[video].tolist()])
        assert np.array_equal(again, speed[first[video] : first[video + 1]], equal_nan=True)
    for row in table:
        a, b, c, d, e = (row[name] for name in "abcde")
        assert a < b < c < d < e
        assert GAP <= b - a <= SPAN and GAP <= e - d <= SPAN and d - b <= SPAN
        assert any(start <= a and e < stop for start, stop in corpus.shots[row["video"]].tolist())
        mine = speed[first[row["video"]] :][b + 1 : d + 1]
        assert row["motion"] == pytest.approx(float(mine.sum()), rel=1e-5) and row["motion"] > 0
    about = json.loads((tmp_path / "tuples.json").read_text())
    without = set(range(len(corpus))) - {row["video"] for row in table}
    assert about == {"videos": len(corpus), "videos_without": len(without), "tuples": len(table)}
    still = {k for k in range(len(corpus)) if corpus.labels[k] == 0 and len(corpus.shots[k]) == 1}
    assert still and still <= without


def test_what_is_shown_lies_in_time_as_its_label_says(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path)
    index = np.resize(np.arange(pretext.samples()), 20_000)
    frames, which = pretext.draw(index, np.random.default_rng(0))
    first, middle, last = frames.T
    low, high = np.minimum(first, last), np.maximum(first, last)
    inside = (low < middle) & (middle < high)
    outside = (middle < low) | (middle > high)
    assert np.array_equal(inside, which == 0) and np.array_equal(outside, which > 0)
    assert np.array_equal(np.stack([low, high], 1), pretext.tuples[index][:, [1, 3]])
    gap = np.where(middle < low, low - middle, middle - high)[which > 0]
    assert gap.min() >= GAP and gap.max() <= SPAN
    assert outside.mean() == pytest.approx(0.75, abs=0.02)
    assert (which == 1).mean() == pytest.approx(0.375, abs=0.02)
    for answer in (0, 1, 2):  # mirrors keep the label, and are as many
        assert (first > last)[which == answer].mean() == pytest.approx(0.5, abs=0.03)


def test_the_share_of_negatives_is_a_setting(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path, negatives=0.5)
    batch = pretext.batch(np.resize(np.arange(pretext.samples()), 3000), np.random.default_rng(0))
    assert batch["label"].float().mean() == pytest.approx(0.5, abs=0.03)
    assert pretext.chance() == {"accuracy": 0.5, "balanced_accuracy": 0.5}


def test_the_frames_that_were_drawn_are_the_frames_shown(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    pretext = made(corpus, tmp_path)
    index = np.arange(12)
    batch = pretext.batch(index, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    frames, which = pretext.draw(index, rng)
    looks = pretext.looks(pretext.videos[index], rng)
    assert torch.equal(batch["label"], torch.from_numpy((which == 0).astype(np.int64)))
    for k in range(12):
        for t in range(3):
            row = Draws(*(getattr(looks, field.name)[[3 * k + t]] for field in fields(looks)))
            alone = cut(corpus, pretext.videos[index[[k]]], frames[k, [t]], row, 16)
            torch.testing.assert_close(batch["frames"][k, t], alone[0])


def test_a_tuple_shares_its_crop_and_flip_and_each_frame_has_its_colour(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path, jitter=[0.4, 0.4, 0.4, 0.1], dropped=0.2)
    draws = pretext.looks(np.resize(pretext.videos, 900), np.random.default_rng(0))
    boxes, flips = draws.boxes.reshape(-1, 3, 4), draws.flips.reshape(-1, 3)
    assert (boxes == boxes[:, :1]).all() and (flips == flips[:, :1]).all()
    assert len(np.unique(boxes[:, 0], axis=0)) > 100 and flips.mean() == pytest.approx(0.5, abs=0.06)
    colour = draws.colour.reshape(-1, 3, 12)
    assert not (colour[:, 0] == colour[:, 1]).all(1).any()
    rows = draws.colour
    one = (rows[:, 0] == rows[:, 1]).all(1) & (rows[:, 1] == rows[:, 2]).all(1)
    assert one.mean() == pytest.approx(0.2, abs=0.03)
    kept = np.abs(rows[one, 0, :3]).argmax(1)  # hue turns colours, but not this far
    assert np.bincount(kept, minlength=3).min() > 0.2 * one.sum()


def test_a_frame_with_one_channel_is_grey_and_that_channel(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    plainly: dict[str, Any] = {"crop": [1.0, 1.0], "jitter": [0.0] * 4}
    dropped, whole_ = (
        made(corpus, tmp_path, dropped=share, **plainly).batch(np.arange(12), np.random.default_rng(0))[
            "frames"
        ]
        for share in (1.0, 0.0)
    )
    assert (dropped.amax(2) - dropped.amin(2)).max() < 1e-6
    off = (dropped[:, :, :1] - whole_).abs().amax((3, 4))  # (N, 3 frames, 3 channels)
    assert off.amin(2).max() < 1e-5


class Position(Frames):
    """Reads the first pixel of a frame: 0 for the first tower, so order is all that the head has."""

    def __init__(self) -> None:
        super().__init__(encoder=tiny().encoder, frames=1, motion=0.0)

    def vectors(self, frames: Tensor) -> Tensor:
        return frames[:, 0, :1, 0]


def test_a_head_that_knows_where_each_frame_lies_is_always_right(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path, Position(), distances=False)

    class Between(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first, middle, last = x.T
            return torch.stack([(middle - first) * (middle - last), torch.zeros_like(middle)], 1) * 1e6

    pretext.head = Between()  # type: ignore[assignment]
    frames, which = pretext.draw(np.resize(np.arange(pretext.samples()), 200), np.random.default_rng(0))
    times = torch.from_numpy(frames / 100).float()[:, :, None, None, None].expand(-1, -1, 3, 16, 16)
    found = pretext({"frames": times, "label": torch.from_numpy(which == 0).long()})
    assert found["accuracy"] == found["balanced_accuracy"] == 1 and found["loss"] < 1e-3


def test_the_head_of_the_paper_adds_up_frames_and_distances_compare_them(tmp_path: Path) -> None:
    """Of a sum, what the middle frame adds does not depend on those around it; then nothing says "between"."""
    corpus = videos(24).only("train")
    torch.manual_seed(0)
    first, other = torch.randn(2, 7, 3, 64)
    mixed, rest = first.clone(), other.clone()
    mixed[:, 1], rest[:, 1] = other[:, 1], first[:, 1]
    for distances, adds in ((False, True), (True, False)):
        pretext = made(corpus, tmp_path, distances=distances)
        one, two = (
            pretext.head(pretext.seen(a)) + pretext.head(pretext.seen(b))
            for a, b in ((first, other), (mixed, rest))
        )
        assert torch.allclose(one, two, atol=1e-4) == adds


def test_the_order_of_the_towers_reaches_the_loss(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path, distances=False).eval()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    swapped = batch | {"frames": batch["frames"][:, [1, 0, 2]]}
    first, second = pretext(batch), pretext(swapped)
    assert not torch.isclose(first["loss"], second["loss"], rtol=1e-3)
    frames = batch["frames"]
    slow = torch.cat([pretext.encoder.vectors(frames[:, k]) for k in range(3)], 1) @ pretext.head.weight.T
    slow = torch.log_softmax(slow + pretext.head.bias, 1)[range(8), batch["label"]]
    torch.testing.assert_close(first["loss"], -slow.mean())


def test_always_saying_no_is_half_right_when_balanced() -> None:
    label = torch.tensor([0, 0, 0, 1] * 25)
    assert balanced((label == 0).float(), label) == 0.5
    assert balanced((label == 1).float(), label) == 0.5
    assert balanced(torch.ones(3), torch.zeros(3, dtype=torch.long)) == 1  # one class alone
    guess = torch.from_numpy(np.random.default_rng(0).integers(0, 2, 100))
    by_class: NDArray[np.float64] = np.array([(guess[label == k] == k).float().mean() for k in (0, 1)])
    assert balanced((guess == label).float(), label) == pytest.approx(by_class.mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("part", "key", "value", "why"),
    [
        ("build", "tuples", 0, "at least 1"),
        ("build", "gap_min", 0.0, "above 0"),
        ("build", "span_max", 0.3, "at least gap_min"),
        ("build", "similar", 1.0, "a share"),
        ("model", "negatives", 1.5, "a probability"),
        ("model", "dropped", -0.1, "a probability"),
    ],
)
def test_bad_settings_are_refused(part: str, key: str, value: Any, why: str, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["frame_order"]
    corpus = videos(8)
    with pytest.raises(ValueError, match=rf"frame_order\.{part}\.{key} is {value}.*{why}"):
        if part == "build":
            FrameOrder.build(corpus, tmp_path, seed=0, **(block["build"] | {key: value}))
        else:
            made(corpus, tmp_path, **{key: value})


def test_videos_too_short_for_any_tuple_are_an_error_that_says_so(tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["frame_order"]["build"]
    with pytest.raises(ValueError, match=r"none of 8 videos yields a tuple.*lower gap_min"):
        FrameOrder.build(videos(8), tmp_path, seed=0, **(block | {"gap_min": 0.7}))


def test_without_its_build_it_says_which_stage_to_run(toy_videos: Videos, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["frame_order"]["model"]
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        FrameOrder(tiny(), toy_videos, tmp_path, **block)
