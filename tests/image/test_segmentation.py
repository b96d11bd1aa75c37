"""Segmentation: mean IoU against scikit-learn and torchmetrics; crops that move mask and picture alike; it learns."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from modalities.common.device import threads
from modalities.image.corpus import Images, corpus
from modalities.image.encoders import AmdimNet, ImageEncoder, PatchGrid
from modalities.image.judging import confusion, dense_task, marked
from modalities.image.judging.marked import Masked
from modalities.image.reading.masks import UNKNOWN
from modalities.image.transfers import segmentation
from modalities.image.transfers.segmentation import Segment
from tests.image.files import encoded, put, run
from tests.image.recorder import Recorder, fit

__all__ = ["fit"]  # a fixture

SETTINGS: dict[str, Any] = {
    "modes": ["tuned"], "head": "linear", "channels": 8, "ignore": [3], "crop": [0.8, 1.0], "samples": 64, "batch": 8,
    "optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-2, "head_lr": 10.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def test_mean_iou_equals_scikit_learns_torchmetrics_and_a_count_by_sets() -> None:
    from torchmetrics.classification import MulticlassJaccardIndex

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (6, 9, 9))
    truth[rng.random(truth.shape) < 0.1] = UNKNOWN
    found = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 5, truth.shape)) % 5
    counts = np.sum([confusion.confusion(t, f, 5) for t, f in zip(truth, found, strict=True)], axis=0)
    known = truth != UNKNOWN
    np.testing.assert_array_equal(counts, confusion_matrix(truth[known], found[known], labels=range(5)))
    metric = MulticlassJaccardIndex(5, average="macro", ignore_index=UNKNOWN)
    metric.update(torch.from_numpy(found), torch.from_numpy(truth))
    assert confusion.mean_iou(counts) == pytest.approx(float(metric.compute()), abs=1e-6)
    places = {k: set(zip(*np.nonzero(truth == k), strict=True)) for k in range(5)}
    called = {k: set(zip(*np.nonzero((found == k) & known), strict=True)) for k in range(5)}
    each = [len(places[k] & called[k]) / len(places[k] | called[k]) for k in range(5)]
    assert confusion.mean_iou(counts) == pytest.approx(np.mean(each))
    assert confusion.pixel_accuracy(counts) == pytest.approx((truth == found)[known].mean())


def test_classes_that_nobody_names_do_not_count_and_guessing_is_the_best_single_class() -> None:
    truth = np.array([0, 0, 0, 1, 1, 4])
    counts = confusion.confusion(truth, np.array([0, 0, 1, 1, 1, 4]), 6)
    assert confusion.mean_iou(counts) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    best = [confusion.confusion(truth, np.full(6, k), 6) for k in (0, 1, 4)]
    iou, accuracy = confusion.guessing(counts)
    assert iou == pytest.approx(max(confusion.mean_iou(each) for each in best))
    assert accuracy == pytest.approx(max(confusion.pixel_accuracy(each) for each in best))


def test_upsampling_is_bilinear_and_so_is_its_gradient() -> None:
    maps = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    plain = nn.functional.interpolate(maps, size=16, mode="bilinear", align_corners=False)
    mine = dense_task.upsampled(maps, 16)
    torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-6)
    first, second = (torch.autograd.grad((x * weights).sum(), maps)[0] for x in (mine, plain))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blue pictures with a red square and a green bar; masks 0, 1, 2, and an edge of 3 that is not to be judged."""
    root, rng = tmp_path_factory.mktemp("shapes"), np.random.default_rng(3)
    for k in range(48):
        pixels = rng.integers(0, 60, (32, 32, 3), np.uint8)
        pixels[..., 2] += 120
        mask = np.zeros((32, 32), np.uint8)
        y, x, w = rng.integers(0, 16), rng.integers(0, 16), rng.integers(4, 28)
        pixels[y : y + 14, x : x + 14, 0], mask[y : y + 14, x : x + 14] = 230, 1
        pixels[:, w : w + 4, 1], mask[:, w : w + 4] = 230, 2
        mask[:1] = 3
        split = "test" if k % 3 == 2 else "train"
        put(root / "in" / split / "images" / f"{k}.png", encoded(pixels))
        put(root / "in" / split / "masks" / f"{k}.png", encoded(mask))
    run(root / "in", root / "out", side=32)
    return root / "out"


@pytest.fixture
def shapes(folder: Path) -> Images:
    return corpus(folder)


def task(encoder: ImageEncoder, known: Masked, **changes: Any) -> Segment:
    head = segmentation.Linear([channels for channels, _ in dense_task.sizes(encoder, 32) or []], 3)
    given: dict[str, Any] = {"classes": 3, "ignore": [3], "crop": [1.0, 1.0], "batch": 8, "frozen": False}
    return Segment(encoder, known, Path(), head=head, **(given | changes))


def test_a_crop_moves_the_mask_with_the_picture(shapes: Images, tiny_encoder: ImageEncoder) -> None:
    known = marked.masked(shapes)
    assert known
    index = np.arange(24)
    batch = task(tiny_encoder, known, crop=[0.5, 1.0]).batch(index, np.random.default_rng(0))
    red, green, mask = batch["image"][:, 0] > 0.55, batch["image"][:, 1] > 0.55, batch["mask"]
    sure = mask != UNKNOWN
    assert ((mask == 2)[sure] == green[sure]).float().mean() > 0.97
    assert ((mask == 1)[sure & ~green] == red[sure & ~green]).float().mean() > 0.97
    whole = task(tiny_encoder, known).batch(index, np.random.default_rng(0))
    plain, masks = dense_task.shown(known.pictures, index), torch.from_numpy(known.masks(index)).long()
    masks[masks == 3] = UNKNOWN
    for k in range(24):
        there = whole["image"][k], whole["mask"][k]
        mirrored = not torch.allclose(there[0], plain[k], atol=1e-5)
        image, label = (plain[k].flip(2), masks[k].flip(1)) if mirrored else (plain[k], masks[k])
        torch.testing.assert_close(there[0], image, atol=1e-5, rtol=0)
        assert torch.equal(there[1], label)


def test_the_loss_is_the_mean_over_known_pixels(shapes: Images, tiny_encoder: ImageEncoder) -> None:
    known = marked.masked(shapes)
    assert known
    one = task(tiny_encoder, known)
    nn.init.normal_(one.head.out.weight, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type,union-attr]
    one.eval()
    batch = one.batch(np.arange(3), np.random.default_rng(0))
    scores, mask = one.scores(batch["image"]), batch["mask"]
    values = [
        -scores[n, :, y, x].log_softmax(0)[mask[n, y, x]].item()
        for n in range(3) for y in range(32) for x in range(32) if mask[n, y, x] != UNKNOWN
    ]  # fmt: skip
    found = one(batch)
    assert found["loss"].item() == pytest.approx(np.mean(values), rel=1e-4)
    right = (scores.argmax(1) == mask)[mask != UNKNOWN].float().mean()
    assert found["accuracy"].item() == pytest.approx(right.item())


@pytest.mark.parametrize("head", ["linear", "decoder"])
def test_it_learns_and_leaves_the_encoder_it_was_given(
    head: str, shapes: Images, tiny_encoder: ImageEncoder, fit: Recorder, tmp_path: Path
) -> None:
    before = copy.deepcopy(tiny_encoder.state_dict())
    (out := tmp_path / "out").mkdir()
    settings = SETTINGS | {"modes": ["frozen", "tuned"], "head": head, "samples": 480, "lr": 5e-3}
    found = segmentation.run(tiny_encoder, shapes, fit, out, seed=0, **settings)
    assert found["mIoU"] > 0.5 and found["frozen mIoU"] > 0.35 > found["mIoU.chance"]
    assert found["pixel_accuracy"] > found["pixel_accuracy.chance"]
    assert {path.name for path in out.iterdir()} == {"corpus frozen.png", "corpus tuned.png"}
    for name, value in tiny_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    frozen, tuned = fit.tasks
    assert all(torch.equal(value, before[name]) for name, value in frozen.encoder.state_dict().items())
    assert not torch.equal(tuned.encoder.state_dict()["stem.0.weight"], before["stem.0.weight"])
    test = marked.masked(shapes)
    assert test
    test = test.only("test")
    truth = tuned.truth(np.arange(len(test.pictures)), test)
    answers = np.concatenate([tuned.answers(test, np.array([k])) for k in range(len(test.pictures))])
    counts = confusion_matrix(truth[truth != UNKNOWN], answers[truth != UNKNOWN], labels=range(3))
    assert found["mIoU"] == pytest.approx(confusion.mean_iou(counts), abs=1e-3)


def test_the_same_seed_gives_the_same_head_whatever_was_drawn_before(
    shapes: Images, tiny_encoder: ImageEncoder, fit: Recorder, tmp_path: Path
) -> None:
    (out := tmp_path / "out").mkdir()
    settings = SETTINGS | {"head": "decoder", "samples": 8}
    torch.manual_seed(5)
    first = segmentation.run(tiny_encoder, shapes, fit, out, seed=0, **settings)
    torch.manual_seed(6)
    assert segmentation.run(tiny_encoder, shapes, fit, out, seed=0, **settings) == first
    same = [torch.equal(a, b) for a, b in zip(*(t.parameters() for t in fit.tasks), strict=True)]
    assert all(same)


def test_where_it_does_not_apply_and_what_is_wrong(
    shapes: Images, toy_images: Images, tiny_encoder: ImageEncoder, fit: Recorder
) -> None:
    assert segmentation.run(tiny_encoder, toy_images, fit, Path(), seed=0, **SETTINGS) == {}
    small = AmdimNet(side=64, width=8, dim=128, depth=1)
    assert dense_task.sizes(small, 8) is None
    assert [channels for channels, _ in dense_task.sizes(small, 64) or []] == [64, 64, 128]
    grid = PatchGrid(encoder=tiny_encoder, patch=8, stride=4)
    assert segmentation.run(grid, shapes, fit, Path(), seed=0, **(SETTINGS | {"head": "decoder"})) == {}  # type: ignore[arg-type]
    for changes, message in (
        ({"modes": ["both"]}, "segmentation.modes names 'both'"),
        ({"crop": [0.0, 1.0]}, "segmentation.crop is"),
        ({"ignore": [1, 2, 3]}, r"classes \[0\]; segmentation needs two"),
    ):
        with pytest.raises(ValueError, match=message):
            segmentation.run(tiny_encoder, shapes, fit, Path(), seed=0, **(SETTINGS | changes))
    assert not fit.tasks
