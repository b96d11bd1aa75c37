"""Colorization: colours are copied from where the network points, and the network never sees one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.video.corpus import Videos
from modalities.video.encoders import FINE, Frames, Lightness, Pointing, encoder
from modalities.video.pretexts.colorization import Colorization
from stages import store
from tests.conftest import params
from tests.video.toys import tiny, videos

TOY: dict[str, dict[str, Any]] = {
    "build": {"clusters": 6, "pixels": 3000},
    "model": {"side": 32, "width": 16, "temporal": True},  # what can go wrong
}


def made(corpus: Videos, folder: Path, trunk: Frames | None = None, **changes: Any) -> Colorization:
    block = params()["video"]["pretexts"]["colorization"]
    if not (folder / "centroids.safetensors").exists():
        Colorization.build(corpus, folder, seed=0, **(block["build"] | TOY["build"]))
    plain = {"side": 32, "width": 16, "unit": False, "temperature": 1.0}  # as in the paper
    model: dict[str, Any] = block["model"] | plain | changes
    return Colorization(trunk or tiny(side=32), corpus, folder, **model)


class Told(Frames):
    """Gives every place of a frame the code that it is told, whatever it is shown."""

    codes: Tensor  # (M, E, h, w)

    def __init__(self) -> None:
        super().__init__(encoder=tiny().encoder, frames=1, motion=0.0)

    def maps(self, x: Tensor) -> list[Tensor]:
        return [self.codes]


def test_a_code_for_each_colour_costs_nothing_and_is_always_right(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path)
    frames = pretext.batch(np.arange(40), np.random.default_rng(0))["frames"]
    label = pretext.labels(frames.flatten(0, 1), torch.Size([4, 4]))
    assert len(label.flatten().bincount().nonzero()) > 2
    told = Told()
    told.codes = 10 * F.one_hot(label, 6).permute(0, 3, 1, 2).float()
    pretext.encoder = told
    found = pretext({"frames": frames})
    assert found["loss"] < 1e-6
    assert float(found["accuracy"]) == pytest.approx(1 - float(found["unmatched"]), abs=1e-6)
    assert found["unmatched"] < 0.2 and found["copy"] < found["accuracy"] > found["accuracy.chance"]


def test_the_method_is_that_cost_over_the_places_that_have_an_answer(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    pretext = made(corpus, tmp_path).eval()
    frames = pretext.batch(np.arange(40), np.random.default_rng(0))["frames"]
    codes = pretext.encoder.maps(frames.flatten(0, 1))[-1].view(40, 4, 16, 16).mT  # (N, T, hw, E)
    label = pretext.labels(frames.flatten(0, 1), torch.Size([4, 4])).view(40, 4, 16)
    costs, right, majority, same, none = [], [], [], [], 0
    for n in range(40):
        known = label[n, :3].flatten()
        score = codes[n, 3] @ codes[n, :3].flatten(0, 1).T  # (P, R)
        for j in range(16):
            share = score[j].softmax(0)
            likely = torch.stack([share[known == k].sum() for k in range(6)])
            answer = int(label[n, 3, j])
            if (known == answer).any():
                costs.append(-float(likely[answer].log().detach()))
            none += not (known == answer).any()
            right.append(int(likely.argmax()) == answer)
            majority.append(int(known.bincount(minlength=6).argmax()) == answer)
            same.append(int(label[n, 2, j]) == answer)
    found = {name: float(value.detach()) for name, value in pretext({"frames": frames}).items()}
    assert none and found["unmatched"] == pytest.approx(none / 640, abs=1e-6)
    assert found["loss"] == pytest.approx(np.mean(costs), rel=1e-3)
    assert found["accuracy"] == pytest.approx(np.mean(right), abs=2e-3)
    assert found["accuracy.chance"] == pytest.approx(np.mean(majority), abs=1e-6)
    assert found["copy"] == pytest.approx(np.mean(same), abs=1e-6)


def test_a_change_of_hue_at_the_same_lightness_reaches_the_labels_alone(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path).eval()
    images = torch.rand(4, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3) * 0.4 + 0.3
    lab = to_lab(images)
    lab[:, 1:] = lab[:, 1:].flip(1) * -0.8
    turned = to_rgb(lab)
    torch.testing.assert_close(to_lab(turned), lab, atol=1e-2, rtol=0)  # still a colour that screens have
    for one, other in zip(pretext.encoder.maps(images), pretext.encoder.maps(turned), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pretext.encoder(images), pretext.encoder(turned), rtol=1e-3, atol=1e-4)
    places = torch.Size([4, 4])
    assert (pretext.labels(images, places) != pretext.labels(turned, places)).float().mean() > 0.3


def test_the_network_sees_the_lightness_that_labels_are_of(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path)
    inner = pretext.encoder.encoder
    assert isinstance(inner, Pointing) and isinstance(inner.encoder, Lightness)
    frames = torch.rand(2, 3, 32, 32)
    shown = inner.encoder.seen(inner.seen(frames))
    assert torch.equal(shown, (to_lab(frames)[:, :1] / 100).expand(-1, 3, -1, -1))
    label = pretext.labels(frames, torch.Size([4, 4]))
    for n in range(2):
        for i in range(4):
            for j in range(4):
                mean = frames[n, :, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean((1, 2))  # RGB first, then Lab
                ab = to_lab(mean.view(1, 3, 1, 1))[0, 1:, 0, 0]
                assert int(label[n, i, j]) == int((pretext.centroids - ab).norm(dim=1).argmin())


def test_the_exported_encoder_keeps_lightness_and_embedding_inside(tmp_path: Path) -> None:
    pretext = made(videos(24).only("train"), tmp_path).eval()
    store.save_encoder(pretext.encoder, tmp_path / "saved", modality="video", method="colorization", seed=0)
    again: Encoder = store.load_encoder(tmp_path / "saved").eval()
    frames = torch.rand(3, 3, 32, 32)
    assert torch.equal(again(frames), pretext.encoder(frames)) and again.dim == tiny().dim
    maps = again.maps(frames)
    assert torch.equal(maps[-1], pretext.encoder.maps(frames)[-1]) and maps[-1].shape == (3, 16, 4, 4)
    fresh = again.like()
    assert fresh.spec == again.spec and fresh(frames).shape == (3, again.dim)


def test_a_coarser_trunk_gives_way_to_one_of_eight_pixels(tmp_path: Path) -> None:
    keys: Any = {
        "arch": "resnet18",
        "width": 8,
        "stem": "3x3-pool",
        "norm": "batch",
        "side": 64,
        "stride": 16,
    }
    coarse = encoder(**keys, frames=4, motion=2.0)
    pretext = made(videos(24).only("train"), tmp_path, coarse)
    assert pretext.encoder.maps(torch.rand(1, 3, 64, 64))[-1].shape[2:] == (64 // FINE, 64 // FINE)
    pretext(pretext.batch(np.arange(4), np.random.default_rng(0)))["loss"].backward()
    missing = [name for name, p in pretext.named_parameters() if p.grad is None]
    assert missing == []


def test_clips_stay_in_a_shot_with_frames_evenly_apart_and_one_crop(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    corpus = replace(corpus, fps=np.where(np.arange(len(corpus)) % 2, 12.0, 6.0))
    pretext = made(corpus, tmp_path)
    slow = [
        (video, first)
        for video in range(len(corpus))
        for start, stop in corpus.shots[video].tolist()
        for first in range(start, stop)
        if first + 3 * (2 if video % 2 else 1) < stop
    ]
    assert [tuple(row) for row in pretext.windows.tolist()] == slow and pretext.samples() == len(slow)
    # A video whose every frame is one grey level shows which frames a clip has.
    shard = np.repeat(np.arange(16, dtype=np.uint8) * 10, 24 * 32 * 3)
    flat = replace(
        corpus,
        shards=[shard],
        where=np.zeros_like(corpus.where),
        sizes=np.tile([24, 32], (len(corpus), 1)),
    )
    pretext.corpus = flat
    shown = pretext.batch(np.arange(len(slow)), np.random.default_rng(0))["frames"]
    level = (shown.mean((2, 3, 4)) * 25.5).round().long().numpy()
    step = np.array([2 if video % 2 else 1 for video, _ in slow])
    first = np.array([start for _, start in slow])
    assert np.array_equal(level, first[:, None] + step[:, None] * np.arange(4))
    same = np.tile(np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8).ravel(), 16)
    pretext.corpus = replace(flat, shards=[same])
    still = pretext.batch(np.arange(20), np.random.default_rng(0))["frames"]
    assert torch.equal(still, still[:, :1].expand_as(still)) and not torch.equal(still[0], still[1])


def test_centroids_are_what_lloyds_iteration_rests_at(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        made(corpus, folder)
    files = ("centroids.safetensors", "centroids.json")
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files)
    found = load_file(folders[0] / "centroids.safetensors")
    assert found["centroids"].shape == (6, 2) and float(found["shares"].sum()) == pytest.approx(1)
    pixels = np.concatenate([corpus.clip(k).reshape(-1, 3) for k in range(len(corpus))])
    ab = to_lab(torch.from_numpy(pixels).T[None, :, :, None] / 255)[0, 1:, :, 0].T
    near = torch.cdist(ab, found["centroids"]).argmin(1)
    shares = near.bincount(minlength=6) / len(near)
    torch.testing.assert_close(shares, found["shares"], atol=0.05, rtol=0)  # 3,000 of all pixels
    means = torch.stack([ab[near == k].mean(0) for k in range(6)])
    assert (means - found["centroids"]).norm(dim=1).max() < 6
    assert json.loads((folders[0] / "centroids.json").read_text())["pixels"] == pytest.approx(3000, abs=300)


def test_convolutions_over_time_join_frames_and_are_not_exported(tmp_path: Path) -> None:
    corpus = videos(24).only("train")
    with_, without = made(corpus, tmp_path, temporal=True).eval(), made(corpus, tmp_path).eval()
    assert with_.encoder.state_dict().keys() == without.encoder.state_dict().keys()
    frames = with_.batch(np.arange(2), np.random.default_rng(0))["frames"]
    other = frames.clone()
    other[:, 0] = other[:, 0].flip(-1)  # the first reference alone
    moved = [(p.compared(frames)[0] - p.compared(other)[0]).abs() for p in (with_, without)]
    assert moved[0][:, :, 16:].max() > 1e-5 and moved[1][:, :, 16:].max() == 0


@pytest.mark.parametrize(
    ("part", "key", "value", "why"),
    [
        ("build", "clusters", 1, "at least 2"),
        ("build", "pixels", 4, "at least clusters"),
        ("build", "fps", 0.0, "above 0"),
        ("model", "side", 30, "a multiple of 8"),
        ("model", "references", 0, "at least 1"),
        ("model", "temperature", 0.0, "a positive number"),
        ("model", "width", 0, "at least 1"),
    ],
)
def test_bad_settings_are_refused(part: str, key: str, value: Any, why: str, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["colorization"]
    corpus = videos(8)
    with pytest.raises(ValueError, match=rf"colorization\.{part}\.{key} is {value}.*{why}"):
        if part == "build":
            Colorization.build(corpus, tmp_path, seed=0, **(block["build"] | {key: value}))
        else:
            made(corpus, tmp_path, **{key: value})


def test_grey_videos_and_short_shots_are_refused(toy_videos: Videos, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["colorization"]["build"]
    grey = replace(toy_videos, shards=[np.full_like(shard, 90) for shard in toy_videos.shards])
    with pytest.raises(
        ValueError, match=r"clusters is 16, but \d+ pixels have 1 colours; are the videos grey"
    ):
        Colorization.build(grey, tmp_path, seed=0, **block)
    with pytest.raises(ValueError, match=r"references is 9, and no shot of 24 videos is that long"):
        made(toy_videos, tmp_path, references=9)


def test_a_network_without_maps_is_refused(toy_videos: Videos, tmp_path: Path) -> None:
    named = encoder(
        arch="torchvision:mobilenet_v3_small",
        width=8,
        stem="3x3",
        norm="batch",
        side=32,
        stride=8,
        frames=4,
        motion=0.0,
    )
    with pytest.raises(ValueError, match=r"video\.encoder\.arch has no maps; use resnet18"):
        made(toy_videos, tmp_path, named)


def test_without_its_build_it_says_which_stage_to_run(toy_videos: Videos, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["colorization"]["model"]
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        Colorization(tiny(), toy_videos, tmp_path, **block)
