"""Jigsaw: on a picture of coordinates, undoing the permutation of the label must put the tiles into order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.pretexts.jigsaw import Jigsaw
from modalities.image.shared.tiles import standardised
from tests.conftest import params
from tests.image.test_relative import coordinates

TOY = {
    "build": {"count": 8},
    "model": {"shift": 0.05, "dropout": 0.0},
}  # two processes drop other units than one


class Mean(ImageEncoder):
    """The mean of the first channel, as the first layer would see it."""

    dim = 1

    def __init__(self, side: int = 24) -> None:
        super().__init__(side=side, channels=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalised(x)[:, :1].mean((2, 3))


def made(corpus: Images, folder: Path, *, count: int = 64, side: int = 24, **changes: Any) -> Jigsaw:
    if not (folder / "permutations.parquet").exists():
        Jigsaw.build(corpus, folder, seed=0, count=count)
    model = params()["image"]["pretexts"]["jigsaw"]["model"]
    return Jigsaw(Mean(side), corpus, folder, **(model | changes))


def test_undoing_the_label_sorts_the_tiles_for_every_permutation(tmp_path: Path) -> None:
    pretext = made(coordinates(500, 48), tmp_path, gray=0.0, shift=0.0)
    assert (pretext.cell, pretext.cut, pretext.tile) == (16, 12, 12)
    index, rng = np.arange(500), np.random.default_rng(0)
    boxes, label = pretext.draw(index, rng)
    assert set(label.tolist()) == set(range(64))
    tiles = (pretext.tiles(index, boxes, rng) * 255).round().long().numpy()  # (N, 9, 3, 12, 12)
    y, x = np.mgrid[0:12, 0:12]
    assert np.array_equal(tiles[:, :, :2], tiles[:, :, :2, :1, :1] + np.stack([y, x]))  # whole, from one cell
    rows, columns = tiles[:, :, 0], tiles[:, :, 1]
    assert np.array_equal(rows[..., 0, 0] // 16, rows[..., -1, -1] // 16)
    assert np.array_equal(columns[..., 0, 0] // 16, columns[..., -1, -1] // 16)
    cells = 3 * (rows[..., 0, 0] // 16) + columns[..., 0, 0] // 16  # (N, slots)
    written = np.stack([c.to_numpy() for c in pq.read_table(tmp_path / "permutations.parquet").columns], 1)
    assert np.array_equal(cells, written[label])  # slot s holds tile permutation[s] ...
    sorted_ = np.take_along_axis(cells, written[label].argsort(1), 1)
    assert np.array_equal(sorted_, np.tile(np.arange(9), (500, 1)))  # ... so this undoes it
    assert not np.array_equal(cells, written[label].argsort(1))  # and the inverse would not
    inside = rows[..., 0, 0] % 16
    assert stats.chisquare(np.bincount(inside.flatten(), minlength=5)).pvalue > 0.01  # 0 .. 4, all as likely


def test_a_head_that_reads_the_slots_in_order_is_always_right(tmp_path: Path) -> None:
    pretext = made(coordinates(4, 48), tmp_path, code=1)
    table = torch.from_numpy(pretext.permutations).float()

    class Reader(nn.Module):
        def forward(self, codes: Tensor) -> Tensor:
            return -10 * (codes[:, None] - table).square().sum(2)

    pretext.project, pretext.head = nn.Sequential(nn.Identity()), Reader()  # type: ignore[assignment]
    label = torch.arange(64)
    order = torch.from_numpy(pretext.permutations)
    cells = torch.arange(9.0).view(9, 1, 1, 1).expand(-1, 3, 12, 12)  # tile t is filled with t
    assert pretext({"tiles": cells[order], "label": label})["accuracy"] == 1
    inverse = pretext({"tiles": cells[order.argsort(1)], "label": label})
    assert inverse["accuracy"] < 0.5


def test_build_writes_valid_permutations_and_their_distances(toy_images: Images, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        Jigsaw.build(toy_images, folder, seed=3, count=64)
    table = pq.read_table(folders[0] / "permutations.parquet")
    rows = np.stack([column.to_numpy() for column in table.columns], 1)
    assert rows.shape == (64, 9)
    assert np.array_equal(np.sort(rows, 1), np.tile(np.arange(9), (64, 1)))
    apart = [(rows[i] != rows[j]).sum() for i in range(64) for j in range(i + 1, 64)]
    about = json.loads((folders[0] / "permutations.json").read_text())
    assert about["min"] == min(apart) == 7
    assert about["mean"] == pytest.approx(np.mean(apart), abs=1e-6)
    assert about["mean"] == pytest.approx(8.1225, abs=1e-3)
    for name in ("permutations.parquet", "permutations.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    Jigsaw.build(toy_images, folders[1], seed=4, count=64)
    assert pq.read_table(folders[1] / "permutations.parquet") != table  # the first pick is the seed's


def test_channels_move_in_space_and_never_out_of_the_cell(tmp_path: Path) -> None:
    pretext = made(coordinates(200, 48), tmp_path, gray=0.0, shift=0.04)
    assert pretext.shift == 2
    index, rng = np.arange(200), np.random.default_rng(0)
    boxes, label = pretext.draw(index, rng)
    tiles = (pretext.tiles(index, boxes, rng) * 255).round().long().numpy()
    red, green, blue = (tiles[:, :, c, 0, 0] for c in range(3))
    # Red tells its row and green its column; blue tells the sum of its own row and column.
    top, left = boxes[..., 0], boxes[..., 1]
    for moved in (red - top, green - left):
        assert sorted(np.unique(moved)) == [0, 1, 2, 3, 4]  # two either way, in a cut wider by four
        assert stats.chisquare(np.bincount(moved.flatten(), minlength=5)).pvalue > 0.01
    assert (blue - red - green).std() > 1  # each channel on its own
    cells = pretext.permutations[label]
    for first, cell in ((tiles[:, :, 0], cells // 3), (tiles[:, :, 1], cells % 3)):
        assert np.array_equal(first.min((2, 3)) // 16, cell) and np.array_equal(first.max((2, 3)) // 16, cell)


def test_a_share_of_the_pictures_is_grey_in_all_tiles(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, count=8, gray=0.3)
    index = np.tile(np.arange(48), 20)
    boxes, _ = pretext.draw(index, np.random.default_rng(0))
    tiles = pretext.tiles(index, boxes, np.random.default_rng(1))
    same = (tiles.amax(2) - tiles.amin(2)).flatten(1).amax(1) < 1e-6
    assert same.float().mean() == pytest.approx(0.3, abs=0.04)
    colour = made(toy_images, tmp_path, gray=0.0).tiles(index, boxes, np.random.default_rng(1))
    gray = made(toy_images, tmp_path, gray=1.0).tiles(index, boxes, np.random.default_rng(1))
    luma = 0.299 * colour[:, :, 0] + 0.587 * colour[:, :, 1] + 0.114 * colour[:, :, 2]
    torch.testing.assert_close(gray, luma.unsqueeze(2).expand_as(gray), rtol=1e-4, atol=1e-5)


def test_every_tile_has_its_own_mean_and_deviation(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, count=8)
    index = np.array([3, 3, 11])
    batch = pretext.batch(index, np.random.default_rng(2))
    assert batch["tiles"].shape == (3, 9, 3, pretext.tile, pretext.tile)
    assert batch["tiles"].mean((3, 4)).abs().max() < 1e-5
    rng = np.random.default_rng(2)
    boxes, label = pretext.draw(index, rng)
    assert np.array_equal(batch["label"].numpy(), label)
    raw = pretext.tiles(index, boxes, rng)
    assert torch.equal(batch["tiles"], standardised(raw, (-2, -1)))
    deviation = raw.std((3, 4), correction=0)
    assert (deviation > 0.02).any()
    sharp = batch["tiles"].std((3, 4), correction=0)[deviation > 0.02]
    torch.testing.assert_close(sharp, torch.ones_like(sharp), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [15, 16, 20, 28, 37, 72, 224])
def test_the_default_shares_fit_pictures_of_any_side(side: int, tmp_path: Path) -> None:
    pretext = made(coordinates(4, side), tmp_path, count=8)
    assert pretext.cell == side // 3 and pretext.cell - pretext.cut >= max(1, 2 * pretext.shift)
    boxes, _ = pretext.draw(np.arange(4), np.random.default_rng(0))
    assert boxes[..., :2].min() >= 0 and (boxes[..., :2] + boxes[..., 2:]).max() <= side


def test_the_shares_give_the_sizes_of_the_specification(tmp_path: Path) -> None:
    for side, sizes in {96: (32, 24), 64: (21, 16), 48: (16, 12)}.items():
        pretext = made(coordinates(1, side), tmp_path, count=8)
        assert (pretext.cell, pretext.cut) == sizes


def test_a_smaller_crop_moves_the_cells_about(tmp_path: Path) -> None:
    pretext = made(coordinates(300, 48), tmp_path, crop=0.9, count=8)
    assert pretext.cell == 14
    boxes, label = pretext.draw(np.arange(300), np.random.default_rng(0))
    first = boxes[pretext.permutations[label] == 0]  # of the tiles of the first cell
    assert first[:, 0].min() == 0 and first[:, 0].max() > pretext.cell - pretext.cut


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("crop", 0.0, "above 0 and up to 1"),
        ("cut", 1.0, "without gaps edges tell the answer"),
        ("cut", 0.1, "tiles of 1 pixels"),
        ("shift", -0.1, "0 for none"),
        ("gray", 1.2, "use a probability"),
        ("dropout", 1.0, "use a probability below 1"),
        ("code", 0, "at least 1"),
        ("hidden", 0, "at least 1"),
        ("tile", 2.0, "at most 1"),
    ],
)
def test_bad_settings_are_refused(key: str, value: Any, why: str, toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"jigsaw\.model\.{key} is {value}.*{why}"):
        made(toy_images, tmp_path, count=2, **{key: value})


def test_shifts_without_room_are_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"jigsaw\.model\.cut is 0\.75: .* by up to 2 .* in cells of 6"):
        made(toy_images, tmp_path, count=2, shift=0.1)


@pytest.mark.parametrize("count", [1, 362_881])
def test_counts_that_no_set_has_are_refused(count: int, toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"jigsaw\.build\.count is {count}; use 2 to 362880"):
        Jigsaw.build(toy_images, tmp_path, seed=0, count=count)


def test_without_its_build_it_says_which_stage_to_run(toy_images: Images, tmp_path: Path) -> None:
    model = params()["image"]["pretexts"]["jigsaw"]["model"]
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        Jigsaw(Mean(), toy_images, tmp_path, **model)
