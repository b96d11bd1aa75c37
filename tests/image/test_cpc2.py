"""CPC v2: four directions, each causal on its own turned grid, and every patch changed by draws of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, PatchGrid
from modalities.image.pretexts.cpc2 import CPC2, moved
from modalities.image.shared.channel_drop import drop, kept
from modalities.image.shared.row_prediction import RowPrediction
from tests.conftest import params, pictures

STILL = {"drop": 0.0, "flip": 0.0, "bent": 0.0}


def made(corpus: Images, encoder: ImageEncoder, folder: Path, **changes: Any) -> CPC2:
    torch.manual_seed(0)
    return CPC2(encoder, corpus, folder, **(params()["image"]["pretexts"]["cpc2"]["model"] | changes))


def ways(pretext: CPC2) -> list[tuple[RowPrediction, int]]:
    return [
        (way, turn)
        for way, turn in zip(pretext.ways, pretext.turns, strict=True)
        if isinstance(way, RowPrediction)
    ]


@pytest.mark.parametrize("row", range(6))
def test_each_direction_sees_its_own_half_of_the_grid_alone(
    row: int, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path)
    codes = torch.randn(1, tiny_encoder.dim, 6, 6)
    found = ways(pretext)
    assert [turn for _, turn in found] == [0, 1, 2, 3]
    for way, turn in found:
        # A cell of row `row` of the turned grid, changed where it lies in the grid as it is.
        mark = torch.zeros(1, 1, 6, 6)
        mark[:, :, row, 2] = 1
        other = codes + mark.rot90(-turn, (2, 3))
        contexts = [way.context(grid.rot90(turn, (2, 3))) for grid in (codes, other)]
        changed = (contexts[0] != contexts[1]).any(1)[0]
        assert not changed[:row].any() and changed[row : row + 4].any(1).all()


def test_directions_share_no_context_network(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path)
    owned = [{id(p) for p in way.parameters()} for way in pretext.ways]
    assert sum(map(len, owned)) == len(set.union(*owned))


def test_the_loss_is_the_mean_of_single_losses(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path)
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    whole = pretext(batch)
    every, turns = pretext.ways, pretext.turns
    single = []
    for way, turn in zip(every, turns, strict=True):
        pretext.ways, pretext.turns = nn.ModuleList([way]), [turn]
        single.append(pretext(batch))
    assert len({float(found["loss"].detach()) for found in single}) == 4
    for name in ("loss", "accuracy"):
        torch.testing.assert_close(whole[name], torch.stack([found[name] for found in single]).mean())


def test_one_channel_a_patch_is_kept_each_as_often_and_independently() -> None:
    rng = np.random.default_rng(0)
    stay = kept(torch.ones(4000, 2, dtype=torch.bool), rng)
    assert (stay.sum(-1) == 1).all()
    first, second = stay.long().argmax(-1).T.numpy()
    counts = np.bincount(first, minlength=3)
    assert stats.chisquare(counts).pvalue > 0.001
    table = np.zeros((3, 3))
    np.add.at(table, (first, second), 1)
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_a_share_of_the_patches_loses_channels_to_the_mean(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path, **(STILL | {"drop": 0.8}))
    patches = torch.rand(3000, 3, 6, 6) + 2
    changed = pretext.changed(patches, np.random.default_rng(0))
    mean = tiny_encoder.mean.view(1, 3, 1, 1)
    gone = (changed == mean).all((2, 3))  # (M, 3)
    torch.testing.assert_close(changed[~gone], patches[~gone], rtol=0, atol=1e-5)
    assert set(gone.sum(1).tolist()) == {0, 2}
    assert abs(float((gone.sum(1) == 2).float().mean()) - 0.8) < 0.03
    assert torch.equal(drop(changed, ~gone[:, :, None, None], tiny_encoder.mean), changed)


def test_patches_that_are_not_changed_come_through_and_flips_are_flips(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    patches = torch.rand(40, 3, 6, 6)
    rng = np.random.default_rng(0)
    still = made(toy_images, tiny_encoder, tmp_path, **STILL).changed(patches, rng)
    torch.testing.assert_close(still, patches, rtol=0, atol=1e-5)
    flipped = made(toy_images, tiny_encoder, tmp_path, **(STILL | {"flip": 1.0})).changed(patches, rng)
    torch.testing.assert_close(flipped, patches.flip(3), rtol=0, atol=1e-5)


def test_turns_and_shears_are_what_they_say(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    turned = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    patches = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(moved(patches, turned), patches.rot90(1, (2, 3)), rtol=0, atol=1e-5)
    pretext = made(toy_images, tiny_encoder, tmp_path, turn=20.0, shear=10.0, flip=0.5, bent=0.7)
    matrices = pretext.affine(4000, np.random.default_rng(0)).double().numpy()
    torch.testing.assert_close(
        abs(np.linalg.det(matrices)), np.ones(4000), rtol=0, atol=1e-5
    )  # no patch is scaled
    flip = np.sign(np.linalg.det(matrices))
    turn = np.degrees(np.arctan2(matrices[:, 1, 0] * flip, matrices[:, 0, 0] * flip))
    assert 18 < abs(turn).max() <= 20
    assert abs((abs(turn) > 1e-6).mean() - 0.7) < 0.04 and abs((flip < 0).mean() - 0.5) < 0.04


def test_the_grid_is_six_by_six_in_colour(tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    pretext = made(pictures(8, 20), tiny_encoder, tmp_path)
    assert pretext.batch(np.arange(4), np.random.default_rng(0))["patches"].shape == (4, 6, 6, 3, 6, 6)
    assert isinstance(pretext.encoder, PatchGrid)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in pretext.modules())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": 1.5}, r"cpc2\.model\.drop is 1\.5; use a probability"),
        ({"flip": -0.1}, r"cpc2\.model\.flip is -0\.1"),
        ({"bent": 2.0}, r"cpc2\.model\.bent is 2\.0"),
        ({"turn": 90.0}, r"cpc2\.model\.turn is 90\.0; use degrees"),
        ({"shear": -1.0}, r"cpc2\.model\.shear is -1\.0"),
        ({"ignore": 1}, r"cpc2\.model\.ignore is 1; use at least 2"),
        ({"norm": "batch"}, r"cpc2\.model\.norm is batch"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tiny_encoder, tmp_path, **changes)
