"""Tracking: what build writes are tracks, and the loss must be the paper's sum, term by term."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from modalities.common.distributed import unit
from modalities.video.corpus import Videos
from modalities.video.pretexts.tracking import Tracking, ranking
from tests.conftest import params
from tests.video.test_tracks import scene
from tests.video.toys import tiny, videos


def corpus(count: int = 24, frames: int = 16) -> Videos:
    """Scenes of 64 px, three quarters of them for training: toys in which something can be tracked."""
    clips = [scene(k, frames=frames, height=64, side=26, logo=0)[0] for k in range(count)]
    like = videos(count, frames)
    size = np.array(clips[0].shape[1:3])
    half = count // 2
    where = np.array([[k // half, k % half * clips[0].size] for k in range(count)])
    return Videos(
        shards=[np.concatenate([clip.ravel() for clip in part]) for part in (clips[:half], clips[half:])],
        ids=like.ids,
        labels=like.labels,
        splits=like.splits,
        classes=like.classes,
        groups=like.groups,
        sources=like.sources,
        fps=like.fps,
        counts=like.counts,
        sizes=np.tile(size, (count, 1)),
        originals=np.tile(size, (count, 1)),
        shots=[np.array([[0, frames]])] * count,
        where=where,
    )


TOY: dict[str, dict[str, Any]] = {
    "build": {"every": 0.25, "seconds": 0.25, "side": 20},
    "model": {"width": 16},
    "corpus": {"make": corpus},
}


def made(folder: Path, videos: Videos | None = None, **changes: Any) -> Tracking:
    videos = videos or corpus().only("train")
    block = params()["video"]["pretexts"]["tracking"]
    if not (folder / "tracks.parquet").exists():
        Tracking.build(videos, folder, seed=0, **(block["build"] | TOY["build"]))
    model: dict[str, Any] = block["model"] | TOY["model"] | changes
    return Tracking(tiny(), videos, folder, **model)


def test_build_writes_boxes_and_the_pixels_in_them(tmp_path: Path) -> None:
    films = corpus().only("train")
    pretext = made(tmp_path, films)
    table = pq.read_table(tmp_path / "tracks.parquet").to_pylist()
    assert pretext.samples() == len(table) >= 16
    assert list(table[0]) == ["video", "frame0", "box0", "frame1", "box1", "moving", "points", "error"]
    for k, row in enumerate(table):
        assert row["frame1"] == row["frame0"] + 3
        for end in (0, 1):
            frame = films.clip(row["video"])[row[f"frame{end}"]]
            top, left, side, _ = (round(x) for x in row[f"box{end}"])
            assert min(top, left) >= 0 and top + side <= 64 and left + side <= 85
            mean = frame[top : top + side, left : left + side].mean((0, 1))
            assert np.abs(pretext.patches[k, end].mean((0, 1)) - mean).max() < 2
    about = json.loads((tmp_path / "tracks.json").read_text())
    assert about["tracks"] == len(table) and about["videos_with"] == len({row["video"] for row in table})
    first = [(tmp_path / name).read_bytes() for name in ("tracks.parquet", "patches.u8", "tracks.json")]
    build = params()["video"]["pretexts"]["tracking"]["build"] | TOY["build"]
    Tracking.build(films, tmp_path, seed=1, **build)
    assert first == [
        (tmp_path / name).read_bytes() for name in ("tracks.parquet", "patches.u8", "tracks.json")
    ]


def test_patches_are_cropped_each_and_flipped_as_a_pair(tmp_path: Path) -> None:
    pretext = made(tmp_path, crop=[1.0, 1.0])
    batch = pretext.batch(np.arange(pretext.samples()), np.random.default_rng(0))
    stored = torch.from_numpy(np.array(pretext.patches)).permute(0, 1, 4, 2, 3).float() / 255
    small = torch.nn.functional.interpolate(stored.flatten(0, 1), size=16, mode="bicubic", antialias=True)
    small = small.view_as(batch["patches"]).clamp(0, 1)
    straight = (batch["patches"] - small).abs().amax((2, 3, 4)) < 0.05  # (N, 2)
    mirrored = (batch["patches"] - small.flip(4)).abs().amax((2, 3, 4)) < 0.05
    assert (straight.all(1) ^ mirrored.all(1)).all() and straight.any() and mirrored.any()
    assert batch["video"].tolist() == pretext.videos.tolist()
    moved = made(tmp_path, crop=[0.5, 1.0]).batch(np.arange(8), np.random.default_rng(0))["patches"]
    assert moved.shape == (8, 2, 3, 16, 16) and not torch.allclose(moved, batch["patches"][:8], atol=0.05)


def codes(count: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return unit(torch.randn(count, 2, 8))


def slow(pairs: Tensor, video: list[int], order: Tensor, count: int, margin: float) -> float:
    """The paper's sum by three loops: anchors, candidates in order, dimensions; over the number of anchors."""

    def distance(x: Tensor, y: Tensor) -> float:
        return 1 - sum(float(a) * float(b) for a, b in zip(x, y, strict=True))

    every = [(j, s) for j in range(len(pairs)) for s in range(2)]
    total = 0.0
    for i in range(len(pairs)):
        allowed = [k for k, (j, _) in enumerate(every) if video[j] != video[i]]
        for k in sorted(allowed, key=lambda k: -float(order[i, k]))[:count]:
            j, s = every[k]
            total += max(0.0, distance(*pairs[i]) - distance(pairs[i, 0], pairs[j, s]) + margin)
    return total / len(pairs)


@pytest.mark.parametrize("hard", [False, True])
def test_the_loss_is_a_triple_loop(hard: bool) -> None:
    pairs, video = codes(7), [0, 1, 2, 0, 3, 3, 4]
    number = torch.tensor(video)
    near = pairs[:, 0] @ pairs.flatten(0, 1).T
    order = near if hard else torch.rand(7, 14)
    allowed = number[:, None] != number.repeat_interleave(2)
    hinges, there = ranking(near, (pairs[:, 0] * pairs[:, 1]).sum(1, keepdim=True), allowed, order, 4, 0.5)
    assert there.all() and float(hinges.sum()) / 7 == pytest.approx(
        slow(pairs, video, order, 4, 0.5), rel=1e-5
    )


@pytest.mark.parametrize("progress", [0.0, 1.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_method_ranks_as_the_loop_does(progress: float, mirror: bool, tmp_path: Path) -> None:
    pretext = made(tmp_path, mirror=mirror).eval()
    pretext.after_step(progress)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    torch.manual_seed(5)
    found = pretext(batch)
    pairs = (
        unit(pretext.head(pretext.encoder.vectors(batch["patches"].flatten(0, 1)))).view(8, 2, -1).detach()
    )
    torch.manual_seed(5)
    drawn = torch.rand(8, 2 if mirror else 1, 16)
    video, total = batch["video"].tolist(), 0.0
    for way in range(2 if mirror else 1):
        turned = pairs.flip(1) if way else pairs
        candidates = pairs.flatten(0, 1) if not way else pairs.flip(1).flatten(0, 1)
        order = turned[:, 0] @ candidates.T if progress else drawn[:, way]
        if way and not progress:  # the loop numbers the candidates of the turned pairs the other way round
            order = order.view(8, 8, 2).flip(2).flatten(1)
        total += slow(turned, video, order, 4, 0.5)
    assert float(found["loss"].detach()) == pytest.approx(total / (2 if mirror else 1), rel=1e-4)
    assert 0 < found["active"] <= 1


def test_hard_negatives_wait_for_their_share_of_the_run(tmp_path: Path) -> None:
    pretext = made(tmp_path, hard_after=0.4).eval()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))

    def losses() -> set[float]:
        found = set()
        for seed in range(3):
            torch.manual_seed(seed)
            found.add(round(float(pretext(batch)["loss"].detach()), 5))
        return found

    pretext.after_step(0.39)
    random = losses()
    pretext.after_step(0.4)
    hard = losses()
    assert len(random) > 1 and len(hard) == 1 and max(random) <= min(hard)


def test_patches_of_the_same_video_are_no_negatives(tmp_path: Path) -> None:
    pairs = codes(3).requires_grad_()
    number = torch.tensor([0, 0, 1])
    near = pairs[:1, 0] @ pairs.flatten(0, 1).T  # anchor 0
    pair = (pairs[:1, 0] * pairs[:1, 1]).sum(1, keepdim=True)
    allowed = number[:1, None] != number.repeat_interleave(2)
    hinges, _ = ranking(near, pair, allowed, near.detach(), 6, 2.0)
    torch.autograd.backward(hinges.sum())
    assert pairs.grad is not None and not pairs.grad[1].any() and pairs.grad[2].any() and pairs.grad[0].any()
    pretext = made(tmp_path)
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    alone = pretext(batch | {"video": torch.zeros(6, dtype=torch.long)})
    alone["loss"].backward()
    assert alone["loss"] == 0 and not any(p.grad is not None and p.grad.any() for p in pretext.parameters())
    assert alone["nearest"] == alone["nearest.chance"] == 1


def test_the_score_beside_chance_is_that_of_finding_the_pair(tmp_path: Path) -> None:
    pretext = made(tmp_path).eval()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    pairs = (
        unit(pretext.head(pretext.encoder.vectors(batch["patches"].flatten(0, 1)))).view(8, 2, -1).detach()
    )
    right, chance = [], []
    for i in range(8):
        others = [pairs[j, s] for j in range(8) for s in range(2) if batch["video"][j] != batch["video"][i]]
        right.append(all(float(pairs[i, 0] @ x) < float(pairs[i, 0] @ pairs[i, 1]) for x in others))
        chance.append(1 / (1 + len(others)))
    found = pretext(batch)
    assert float(found["nearest"]) == pytest.approx(np.mean(right))
    assert float(found["nearest.chance"]) == pytest.approx(np.mean(chance))


@pytest.mark.parametrize(
    ("part", "key", "value", "why"),
    [
        ("build", "every", 0.0, "above 0"),
        ("build", "moving", -1.0, "above 0"),
        ("build", "share", [0.8, 0.7], "two shares"),
        ("build", "box", 1.2, "up to 1"),
        ("build", "seconds", 0.0, "above 0"),
        ("build", "per_video", 0, "at least 1"),
        ("build", "side", 4, "at least 8"),
        ("model", "margin", 0.0, "above 0"),
        ("model", "negatives", 0, "at least 1"),
        ("model", "hard_after", 0.0, "or it collapses"),
        ("model", "width", 0, "at least 1"),
        ("model", "crop", [0.9, 0.5], "two shares"),
    ],
)
def test_bad_settings_are_refused(part: str, key: str, value: Any, why: str, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["tracking"]
    escaped = str(value).replace("[", r"\[").replace("]", r"\]")
    (tmp_path / "tracks.json").write_text('{"side": 8}')
    with pytest.raises(ValueError, match=rf"tracking\.{part}\.{key} is {escaped}.*{why}"):
        if part == "build":
            Tracking.build(videos(4), tmp_path, seed=0, **(block["build"] | {key: value}))
        else:
            Tracking(tiny(), videos(4), tmp_path, **(block["model"] | {key: value}))


def test_videos_without_tracks_are_an_error_that_says_so(tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["tracking"]["build"]
    with pytest.raises(ValueError, match=r"0 of 8 videos has a patch that moves on its own.*lower moving"):
        Tracking.build(videos(8), tmp_path, seed=0, **block)


def test_without_its_build_it_says_which_stage_to_run(toy_videos: Videos, tmp_path: Path) -> None:
    block = params()["video"]["pretexts"]["tracking"]["model"]
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        Tracking(tiny(), toy_videos, tmp_path, **block)
