"""Tiles: what each treatment leaves, by the formula or one tile at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared.tiles import (
    drop_channels,
    framed,
    mosaic,
    project_out,
    resizing,
    shown,
    shrinking,
    standardised,
    tile_side,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("over", [(-2, -1), (-3, -2, -1)])
def test_each_tile_gets_mean_0_and_root_mean_square_1(over: tuple[int, ...]) -> None:
    tiles = torch.rand(6, 3, 8, 8) * (torch.rand(6, 3, 1, 1) + 0.2) + torch.rand(6, 3, 1, 1)
    found = standardised(tiles, over)
    assert found.mean((2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(found.square().mean(over), torch.ones_like(found.square().mean(over)))
    # Brightness and contrast of a tile change nothing.
    torch.testing.assert_close(standardised(0.5 * tiles + 0.2, over), found, rtol=1e-4, atol=1e-4)


def test_flat_tiles_stay_flat() -> None:
    tiles = torch.full((1, 3, 8, 8), 0.7)
    tiles[:, :, 0, 0] += 1e-4  # rounding, far below one step of the store
    assert standardised(tiles, (-2, -1)).abs().max() < 0.03


def test_the_encoders_own_normalisation_gives_the_tile_back(tiny_encoder: ImageEncoder) -> None:
    tiles = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(tiny_encoder.normalised(shown(tiles, tiny_encoder)), tiles)


@pytest.mark.parametrize("count", [1, 2])
def test_dropped_channels_are_noise_of_a_hundredth_and_the_others_are_untouched(count: int) -> None:
    tiles = torch.rand(300, 3, 12, 12) * (torch.rand(300, 1, 1, 1) + 0.1)
    found = drop_channels(tiles, np.full(300, count), 0.01, np.random.default_rng(0))
    kept = (found == tiles).flatten(2).all(2)
    assert torch.equal(kept.sum(1), torch.full((300,), 3 - count))
    assert (kept.float().mean(0) - (3 - count) / 3).abs().max() < 0.1  # each channel as often as another
    for old, new, mine in zip(tiles, found, kept, strict=True):
        spread = old[mine].var((1, 2), correction=0).mean().sqrt()
        assert new[~mine].square().mean().sqrt() == pytest.approx(0.01 * float(spread), rel=0.15)
        match = np.corrcoef(np.concatenate([old.flatten(1), new.flatten(1)]))[:3, 3:].diagonal()
        assert np.array_equal(np.abs(match) > 0.5, mine.numpy())


def test_projection_removes_one_axis_and_nothing_else() -> None:
    axis = np.array([-1.0, 2.0, -1.0])
    tiles = torch.rand(4, 3, 5, 5)
    found = project_out(tiles, axis.tolist())
    slow = np.apply_along_axis(lambda rgb: rgb - axis * (rgb @ axis) / (axis @ axis), 1, tiles.numpy())
    np.testing.assert_allclose(found.numpy(), slow, atol=1e-6)
    assert np.abs(np.einsum("c,mchw->mhw", axis, found.numpy())).max() < 1e-5


@pytest.mark.parametrize(("source", "side"), [(12, 16), (16, 7), (9, 9)])
def test_resizing_equals_torchs(source: int, side: int) -> None:
    tiles, matrix = torch.rand(2, 3, source, source), resizing(source, side)
    slow = F.interpolate(tiles, size=side, mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(matrix @ tiles @ matrix.T, slow, rtol=1e-4, atol=1e-5)


def test_shrinking_equals_torchs_resizing_there_and_back() -> None:
    tiles = torch.rand(2, 3, 16, 16)
    matrices = shrinking(4, 12, 16)
    assert matrices.shape == (9, 16, 16)
    for k in (0, 3, 8):
        small = F.interpolate(tiles, size=4 + k, mode="bicubic", antialias=True, align_corners=False)
        slow = F.interpolate(small, size=16, mode="bicubic", antialias=True, align_corners=False)
        torch.testing.assert_close(matrices[k] @ tiles @ matrices[k].T, slow, rtol=1e-4, atol=1e-5)


def test_tiles_that_the_encoder_could_not_eat_are_refused(tiny_encoder: ImageEncoder) -> None:
    assert tile_side(0.5, tiny_encoder, "jigsaw.model.tile") == 8
    for share in (0.1, 1.5):
        with pytest.raises(ValueError, match=rf"jigsaw\.model\.tile is {share}, .* tiles of \d+ pixels"):
            tile_side(share, tiny_encoder, "jigsaw.model.tile")


def test_pictures_for_people_put_frames_and_tiles_where_they_belong(
    toy_images: Images, tmp_path: Path
) -> None:
    boxes = np.array([[[0, 0, 10, 10], [10, 10, 10, 10]]])
    picture = framed(toy_images, np.array([0]), boxes, [(1, 0, 0), (0, 0, 1)])[0]
    assert picture[:, 0, 0].tolist() == [1, 0, 0] and picture[:, -1, -1].tolist() == [0, 0, 1]
    tiles = torch.arange(9.0).view(1, 9, 1, 1, 1).expand(-1, -1, 3, 4, 4)
    sheet = mosaic(tiles)[0, 0]
    assert sheet[15::33, 15::33].flatten().tolist() == list(range(9))
