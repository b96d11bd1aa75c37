"""CPC: what is predicted is the patch below, from rows above alone, and the loss is cross-entropy over all patches."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modalities.image.corpus import Images
from modalities.image.encoders import Gray, ImageEncoder, Named, PatchGrid
from modalities.image.pretexts.cpc import CPC
from modalities.image.shared.row_prediction import RowPrediction, row_nce
from tests.conftest import params, pictures


def made(corpus: Images, encoder: ImageEncoder, folder: Path, **changes: Any) -> CPC:
    return CPC(encoder, corpus, folder, **(params()["image"]["pretexts"]["cpc"]["model"] | changes))


def prediction(dim: int, horizons: tuple[int, ...]) -> RowPrediction:
    torch.manual_seed(1)
    return RowPrediction(dim, layers=5, hidden=6, target=4, scale=0.1, horizons=horizons)


def changes_of_context(way: RowPrediction, side: int, row: int) -> Tensor:
    """Which cells of the context change, (side, side), when one cell of this row of the grid does."""
    codes = torch.randn(1, 5, side, side)
    other = codes.clone()
    other[:, :, row, side // 2] += 1
    changed: Tensor = (way.context(other) != way.context(codes)).any(1)[0]
    return changed


@pytest.mark.parametrize("row", range(7))
def test_the_context_of_a_row_sees_this_row_and_those_above_alone(row: int) -> None:
    changed = changes_of_context(prediction(5, (2, 3)), 7, row)
    assert not changed[:row].any()
    assert changed[row : row + 4].any(1).all()


def test_no_gradient_of_a_context_reaches_the_rows_below() -> None:
    way = prediction(5, (1,))
    codes = torch.randn(2, 5, 7, 7, requires_grad=True)
    way.context(codes)[:, :, 3].square().sum().backward()
    assert codes.grad is not None
    assert not codes.grad[:, :, 4:].any() and codes.grad[:, :, :4].abs().sum((0, 1, 3)).all()


def test_a_predictor_that_knows_the_answer_is_always_right() -> None:
    """Codes are one-hot of (image, row, column); the prediction is that of the cell k rows below: no column wraps."""
    n, side, horizons = 3, 7, (2, 3, 4)
    targets = torch.eye(n * side * side).view(n, side, side, -1).permute(0, 3, 1, 2)
    below = [torch.cat([targets[:, :, k:], torch.zeros_like(targets[:, :, :k])], 2) * 100 for k in horizons]
    loss, accuracy = row_nce(below, targets, horizons)
    assert accuracy == 1 and loss < 1e-6
    # One column off is never right, also not where a row ends and the next begins.
    _, accuracy = row_nce([x.roll(1, 3) for x in below], targets, horizons)
    assert accuracy == 0


def test_the_loss_equals_a_slow_loop() -> None:
    n, side, horizons = 2, 3, (1, 2)
    rng = np.random.default_rng(0)
    predictions = [rng.normal(size=(n, 4, side, side)) for _ in horizons]
    targets = rng.normal(size=(n, 4, side, side))
    losses, hits = [], []
    for k, predicted in zip(horizons, predictions, strict=True):
        for image in range(n):
            for row in range(side - k):
                for column in range(side):
                    logits = {
                        (i, r, c): predicted[image, :, row, column] @ targets[i, :, r, c]
                        for i in range(n)
                        for r in range(side)
                        for c in range(side)
                    }
                    true = (image, row + k, column)
                    below = sum(math.exp(x) for x in logits.values())
                    losses.append((k, -math.log(math.exp(logits[true]) / below)))
                    hits.append((k, max(logits, key=lambda cell: logits[cell]) == true))
    slow = [np.mean([np.mean([x for h, x in part if h == k]) for k in horizons]) for part in (losses, hits)]
    loss, accuracy = row_nce([torch.tensor(p) for p in predictions], torch.tensor(targets), horizons)
    assert float(loss) == pytest.approx(slow[0], rel=1e-5)
    assert float(accuracy) == pytest.approx(slow[1])


def test_equal_logits_cost_the_logarithm_of_all_patches(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path)
    way = pretext.ways[0]
    assert isinstance(way, RowPrediction)
    with torch.no_grad():
        for parameter in way.predict.parameters():
            parameter.zero_()
    found = pretext(pretext.batch(np.arange(5), np.random.default_rng(0)))
    assert float(found["loss"].detach()) == pytest.approx(math.log(49 * 5), rel=1e-6)
    assert float(found["accuracy.chance"]) == pytest.approx(1 / (49 * 5))


def test_patches_are_seven_by_seven_and_those_of_the_exported_grid(
    tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    corpus = pictures(6, 16)  # stored as the encoder eats them: nothing is resized
    pretext = made(corpus, tiny_encoder, tmp_path, shift=0.0).eval()
    patches = pretext.batch(np.arange(6), np.random.default_rng(0))["patches"]
    assert patches.shape == (6, 7, 7, 3, 4, 4)
    assert torch.equal(patches[:, :, :, 0], patches[:, :, :, 1])  # grey
    # Neighbours share half of their pixels: row r + 1 is not a fair question.
    assert torch.equal(patches[:, 1, :, :, :2], patches[:, 0, :, :, 2:])
    images = pretext.encoder.read(corpus, np.arange(6))
    expected = pretext.grid.grid(Gray(encoder=tiny_encoder).seen(images))
    straight = (patches - expected).flatten(1).abs().amax(1) < 1e-3
    flipped = (patches - expected.flip(2, 5)).flatten(1).abs().amax(1) < 1e-3
    assert (straight | flipped).all()
    codes = pretext.encoder.maps(images)[0]
    assert codes.shape == (6, tiny_encoder.dim, 7, 7)
    torch.testing.assert_close(pretext.encoder(images), codes.mean((2, 3)))


def test_patches_do_not_see_each_other(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    """No batch norm anywhere: the codes of an image are the same whatever else is in the batch."""
    pretext = made(toy_images, tiny_encoder, tmp_path).train()
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in pretext.modules())
    images = pretext.encoder.read(toy_images, np.arange(6))
    torch.testing.assert_close(pretext.encoder(images)[:2], pretext.encoder(images[:2]), rtol=1e-4, atol=1e-5)


def test_colour_is_kept_where_asked(toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path, gray=False)
    assert isinstance(pretext.encoder, PatchGrid)
    patches = pretext.batch(np.arange(6), np.random.default_rng(0))["patches"]
    assert (patches[:, :, :, 0] - patches[:, :, :, 1]).abs().max() > 0.1


def test_inner_parts_are_cut_at_random_places_and_framed(tmp_path: Path, tiny_encoder: ImageEncoder) -> None:
    pretext = made(
        pictures(4, 16), tiny_encoder, tmp_path, patch=0.5, stride=0.25, inner=0.75, ignore=1, steps=1
    )
    patches = torch.arange(64.0).view(1, 1, 8, 8).expand(400, 3, 8, 8)
    changed = pretext.changed(patches, np.random.default_rng(0))
    assert changed.shape == patches.shape
    frame = changed.clone()
    frame[:, :, 1:7, 1:7] = 0
    mean = tiny_encoder.mean.view(1, 3, 1, 1).expand_as(frame).clone()
    mean[:, :, 1:7, 1:7] = 0
    torch.testing.assert_close(frame, mean)
    start = changed[:, 0, 1, 1].round().long()
    places, counts = np.unique(start.numpy(), return_counts=True)
    assert places.tolist() == [8 * row + column for row in range(3) for column in range(3)]
    assert counts.min() > 20
    shown = changed[:, 0, 1:7, 1:7] - changed[:, :1, 1, 1, None]
    torch.testing.assert_close(shown, patches[0, 0, :6, :6].expand_as(shown), rtol=0, atol=1e-4)
    whole = made(pictures(4, 16), tiny_encoder, tmp_path)
    assert torch.equal(whole.changed(patches[..., :4, :4], np.random.default_rng(0)), patches[..., :4, :4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 0.1}, r"cpc\.model\.patch is 0\.1; use a share .* at least 4 pixels"),
        ({"patch": 1.5}, r"cpc\.model\.patch is 1\.5"),
        ({"stride": 0.0}, r"cpc\.model\.stride is 0\.0"),
        ({"stride": 0.5}, r"cpc\.model\.stride is 0\.5; .* up to patch \(0\.25\)"),
        ({"inner": 0.0}, r"cpc\.model\.inner is 0\.0"),
        ({"shift": 0.6}, r"cpc\.model\.shift is 0\.6"),
        ({"norm": "batch"}, r"cpc\.model\.norm is batch; use layer, group or none"),
        ({"directions": 3}, r"cpc\.model\.directions is 3; use 1"),
        ({"ignore": 0}, r"cpc\.model\.ignore is 0; use at least 1: nearer rows share pixels"),
        ({"ignore": 3, "steps": 4}, r"cpc\.model\.steps is 4; use 1 up to 3: there are 7 rows"),
        ({"steps": 0}, r"cpc\.model\.steps is 0"),
        ({"layers": 0}, r"cpc\.model\.layers is 0"),
        ({"hidden": 0}, r"cpc\.model\.hidden is 0"),
        ({"target": 0}, r"cpc\.model\.target is 0"),
        ({"scale": 0.0}, r"cpc\.model\.scale is 0\.0"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tiny_encoder, tmp_path, **changes)


def test_networks_whose_norm_cannot_be_chosen_are_refused(toy_images: Images, tmp_path: Path) -> None:
    encoder = Named(arch="torchvision:mobilenet_v3_small", side=32)
    with pytest.raises(ValueError, match=r"cpc\.model\.norm is layer; use a ResNet \(image\.encoder\.arch\)"):
        made(toy_images, encoder, tmp_path)
