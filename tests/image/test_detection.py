"""Detection: COCO's average precision against a slow count of its own and torchmetrics; boxes mirrored; it learns."""

import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.image.corpus import Images, corpus
from modalities.image.encoders import ImageEncoder
from modalities.image.judging import coco, dense_task, marked
from modalities.image.judging.coco import Found
from modalities.image.judging.marked import Boxes
from modalities.image.reading.boxes import Box
from modalities.image.transfers import detection
from modalities.image.transfers.detection import Detect
from tests.image.files import encoded, put, run
from tests.image.recorder import Recorder, fit
from tests.image.test_marks import voc

__all__ = ["fit"]  # a fixture

SETTINGS: dict[str, Any] = {
    "modes": ["tuned"], "channels": 32, "samples": 8, "batch": 8, "optimizer": "adamw", "lr": 1e-3,
    "weight_decay": 1e-2, "head_lr": 1.0, "clip": 10.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def iou(one: Any, other: Any, hard: bool) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    first = (one[2] - one[0]) * (one[3] - one[1])
    second = (other[2] - other[0]) * (other[3] - other[1])
    return float(both / first if hard else both / (first + second - both))


def slow(truth: list[Boxes], found: list[Found], kind: int, threshold: float) -> float:
    """One class at one overlap: greedy matches by falling score, then the envelope of precision at 101 recalls."""
    judged: list[tuple[float, bool]] = []
    count = sum(int(((boxes.classes == kind) & ~boxes.hard).sum()) for boxes in truth)
    for boxes, said in zip(truth, found, strict=True):
        falling = np.argsort(-said.scores, kind="stable").tolist()
        best = [k for k in falling if said.classes[k] == kind][:100]
        real = [
            (e, bool(h)) for e, c, h in zip(boxes.edges, boxes.classes, boxes.hard, strict=True) if c == kind
        ]
        taken: set[int] = set()
        for k in best:
            ways = [(iou(said.edges[k], e, h), j) for j, (e, h) in enumerate(real) if h or j not in taken]
            easy = [(o, j) for o, j in ways if not real[j][1] and o >= threshold]
            if easy:
                taken.add(max(easy)[1])
                judged.append((float(said.scores[k]), True))
            elif not any(real[j][1] and o >= threshold for o, j in ways):
                judged.append((float(said.scores[k]), False))
    judged.sort(key=lambda pair: -pair[0])
    points, hits = [], 0
    for place, (_, right) in enumerate(judged, 1):
        hits += right
        points.append((hits / count, hits / place))
    return float(
        np.mean([max((p for r, p in points if r >= t), default=0.0) for t in np.linspace(0, 1, 101)])
    )


def scene(seed: int, *, hard: float = 0.0, many: int = 8) -> tuple[list[Boxes], list[Found]]:
    """Boxes and noisy answers of 12 pictures, among them one without boxes, one without answers, one with 130."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for k in range(12):
        count = 0 if k == 3 else int(rng.integers(1, many))
        corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 30, (count, 2))
        edges = np.concatenate([corner, corner + size], 1).astype(np.float32)
        truth.append(Boxes(edges, rng.integers(0, 3, count), rng.random(count) < hard))
        more = 0 if k == 5 else 130 if k == 7 else int(rng.integers(0, 6))
        corner, size = rng.uniform(0, 60, (more, 2)), rng.uniform(5, 30, (more, 2))
        other = np.concatenate([corner, corner + size], 1)
        near = edges + rng.normal(0, 2, edges.shape) if k != 5 else np.zeros((0, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        classes = np.where(
            rng.random(len(near)) < 0.8, truth[-1].classes[: len(near)], rng.integers(0, 3, len(near))
        )
        found.append(
            Found(
                np.concatenate([near, other]).astype(np.float32),
                np.concatenate([classes, rng.integers(0, 3, more)]).astype(np.int64),
                (rng.permutation(len(near) + more) / 200 + k / 2400).astype(np.float32),
            )
        )
    return truth, found


@pytest.mark.parametrize("hard", [0.0, 0.25])
def test_cocos_code_equals_a_slow_count(hard: float) -> None:
    for seed in range(3):
        truth, found = scene(seed, hard=hard)
        metrics = coco.average_precision(truth, found)
        kinds = sorted({int(k) for boxes in truth for k in boxes.classes[~boxes.hard]})
        each = [[slow(truth, found, kind, t) for kind in kinds] for t in np.arange(0.5, 0.96, 0.05)]
        assert metrics["AP50"] == pytest.approx(np.mean(each[0]), abs=1e-6)
        assert metrics["AP75"] == pytest.approx(np.mean(each[5]), abs=1e-6)
        assert metrics["AP"] == pytest.approx(np.mean(each), abs=1e-6)


def test_it_equals_torchmetrics() -> None:
    from torchmetrics.detection import MeanAveragePrecision

    truth, found = scene(7)
    metric = MeanAveragePrecision()
    metric.warn_on_many_detections = False
    for boxes, said in zip(truth, found, strict=True):
        target = {"boxes": torch.from_numpy(boxes.edges), "labels": torch.from_numpy(boxes.classes)}
        answer = {"boxes": torch.from_numpy(said.edges), "labels": torch.from_numpy(said.classes)}
        metric.update([answer | {"scores": torch.from_numpy(said.scores)}], [target])
    other, mine = metric.compute(), coco.average_precision(truth, found)
    for name, key in (("AP", "map"), ("AP50", "map_50"), ("AP75", "map_75")):
        assert mine[name] == pytest.approx(float(other[key]), abs=1e-5)


def test_perfect_answers_none_and_nothing_to_find() -> None:
    truth, found = scene(1)
    right = [Found(b.edges, b.classes, np.ones(len(b.classes), np.float32)) for b in truth]
    assert coco.average_precision(truth, right)["AP"] == pytest.approx(1)
    none = [Found(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))] * 12
    assert coco.average_precision(truth, none) == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    bare = [replace(b, hard=np.ones(len(b.classes), np.bool_)) for b in truth]
    with pytest.raises(ValueError, match="needs a picture with a box"):
        coco.average_precision(bare, found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark pictures with one to two bright squares, red or green, and a hard blue one."""
    root, rng = tmp_path_factory.mktemp("squares"), np.random.default_rng(3)
    for k in range(40):
        pixels = rng.integers(0, 60, (32, 32, 3), np.uint8)
        objects = []
        for half in range(int(rng.integers(1, 3))):
            y, x, kind = (
                int(rng.integers(0, 20)),
                int(rng.integers(0, 5)) + 16 * half,
                int(rng.integers(0, 2)),
            )
            pixels[y : y + 11, x : x + 11, kind] = 230
            objects.append(Box(("red", "green")[kind], x, y, x + 11, y + 11))
        split = "test" if k % 4 == 3 else "train"
        put(root / "in" / split / "images" / f"{k}.png", encoded(pixels))
        put(root / "in" / split / "annotations" / f"{k}.xml", voc(*objects, Box("blue", 0, 0, 5, 5, True)))
    run(root / "in", root / "out", side=32)
    return root / "out"


@pytest.fixture
def squares(folder: Path) -> Images:
    return corpus(folder)


def test_boxes_are_mirrored_with_their_picture_and_hard_ones_are_not_trained_on(
    squares: Images, tiny_encoder: ImageEncoder
) -> None:
    known = marked.boxed(squares)
    assert known and known.classes == ["blue", "green", "red"]
    task = Detect(tiny_encoder, known, Path(), net=torch.nn.Identity(), batch=8, frozen=False)
    batch = task.batch(np.arange(40), np.random.default_rng(0))
    plain = dense_task.shown(known.pictures, np.arange(40))
    mirrored = [not torch.equal(a, b) for a, b in zip(batch["image"], plain, strict=True)]
    assert 8 < sum(mirrored) < 32
    for k in range(40):
        there = batch["classes"][k] > 0
        assert int(there.sum()) == int((~known.boxes[k].hard).sum()) and not (batch["classes"][k] == 1).any()
        for (left, top, right, bottom), kind in zip(
            batch["boxes"][k][there].int().tolist(), batch["classes"][k][there].tolist(), strict=True
        ):
            inside = batch["image"][k, {3: 0, 2: 1}[kind], top:bottom, left:right]
            assert (inside.shape == (11, 11)) and (inside > 0.85).all()


def test_it_learns_and_leaves_the_encoder_it_was_given(
    squares: Images, tiny_encoder: ImageEncoder, fit: Recorder, tmp_path: Path
) -> None:
    before = copy.deepcopy(tiny_encoder.state_dict())
    (out := tmp_path / "out").mkdir()
    settings = SETTINGS | {"samples": 480, "lr": 6e-3}
    found = detection.run(tiny_encoder, squares, fit, out, seed=0, **settings)
    assert found["AP50"] > 0.2 and found["AP50"] >= found["AP"]
    assert (out / "corpus tuned.png").exists()
    for name, value in tiny_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    (tuned,) = fit.tasks
    assert not torch.equal(tuned.encoder.state_dict()["stem.0.weight"], before["stem.0.weight"])
    assert len(tuned.corpus) == 30


def test_a_frozen_trunk_keeps_its_weights_and_statistics(
    squares: Images, tiny_encoder: ImageEncoder, fit: Recorder, tmp_path: Path
) -> None:
    (out := tmp_path / "out").mkdir()
    settings = SETTINGS | {"modes": ["frozen"], "samples": 64}
    found = detection.run(tiny_encoder, squares, fit, out, seed=0, **settings)
    assert set(found) == {"frozen AP", "frozen AP50", "frozen AP75"}
    before, after = tiny_encoder.state_dict(), fit.tasks[0].encoder.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    grown = [p for p in fit.tasks[0].net.parameters() if p.requires_grad]
    assert grown and not {id(p) for p in grown} & {id(p) for p in fit.tasks[0].encoder.parameters()}


def test_a_picture_without_boxes_can_be_trained_on(squares: Images, tiny_encoder: ImageEncoder) -> None:
    known = marked.boxed(squares)
    assert known
    empty = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    bare = replace(known, boxes=[empty] * 40)
    inside = dense_task.sizes(tiny_encoder, 32) or []
    torch.manual_seed(0)
    net = detection.fcos(tiny_encoder, inside, bare, 32, frozen=False, head_lr=1.0)
    task = Detect(tiny_encoder, bare, Path(), net=net, batch=8, frozen=False).train()
    loss = task(task.batch(np.arange(4), np.random.default_rng(0)))["loss"]
    loss.backward()
    assert torch.isfinite(loss) and tiny_encoder.state_dict()["stem.0.weight"].isfinite().all()


def test_where_it_does_not_apply_what_is_wrong_and_what_is_imported(
    squares: Images, toy_images: Images, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    assert detection.run(tiny_encoder, toy_images, fit, Path(), seed=0, **SETTINGS) == {}
    for changes, message in (
        ({"modes": ["x"]}, "detection.modes names 'x'"),
        ({"channels": 40}, "detection.channels is 40; use a multiple of 32"),
    ):
        with pytest.raises(ValueError, match=message):
            detection.run(tiny_encoder, squares, fit, Path(), seed=0, **(SETTINGS | changes))
    source = Path(sys.modules[detection.__name__].__file__ or "").read_text()
    assert not any(
        line.startswith(("import torchvision", "from torchvision")) for line in source.splitlines()
    )
