"""Relative: on pictures whose pixels are their coordinates, the label must be what the two patches say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.pretexts.relative import Relative
from tests.conftest import params

TOY = {"model": {"grids": 2}}
STEPS = {0: (-1, -1), 1: (-1, 0), 2: (-1, 1), 3: (0, -1), 4: (0, 1), 5: (1, -1), 6: (1, 0), 7: (1, 1)}


class Place(ImageEncoder):
    """Reads the first pixel: where the patch lies in a picture of coordinates."""

    dim = 2

    def __init__(self, side: int = 24) -> None:
        super().__init__(side=side, channels=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalised(x)[:, :2, 0, 0]


def coordinates(count: int, side: int) -> Images:
    """Red is the row, green the column, blue the sum."""
    y, x = np.mgrid[0:side, 0:side]
    pixels = np.repeat(np.stack([y, x, x + y], 2)[None].astype(np.uint8), count, 0)
    names = [str(k) for k in range(count)]
    empty = np.full(count, -1), np.full(count, "train")
    return Images([pixels], names, *empty, [], np.arange(count))


def made(corpus: Images, folder: Path, *, encoder: ImageEncoder | None = None, **changes: Any) -> Relative:
    model = params()["image"]["pretexts"]["relative"]["model"]
    return Relative(encoder or Place(), corpus, folder, **(model | changes))


def cut_whole(pretext: Relative, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Coordinates (pairs, 2, 2, P, P) read back from the pixels of patches cut at one pixel a pixel, and labels."""
    index = np.arange(count)
    boxes, label = pretext.draw(index, np.random.default_rng(seed))
    patches = pretext.cut(index, boxes)
    assert patches.shape[-1] == pretext.patch
    found = (patches[:, :2] * 255).round().long().numpy().reshape(-1, 2, 2, *patches.shape[2:])
    return found, label.flatten()


@pytest.mark.parametrize(("side", "patch", "encoder"), [(48, 12, 24), (60, 9, 18), (20, 4, 8)])
def test_pixels_say_what_the_label_says(side: int, patch: int, encoder: int, tmp_path: Path) -> None:
    share = 0.25 if side != 60 else 0.15  # leaves room for grids to begin anywhere
    pretext = made(coordinates(100, side), tmp_path, encoder=Place(encoder), patch=share, grids=5)
    assert pretext.patch == pretext.tile == patch
    found, label = cut_whole(pretext, 100, 0)
    corner = found[..., 0, 0]  # (pairs, 2, 2): row and column of each first pixel
    y, x = np.mgrid[0:patch, 0:patch]
    assert np.array_equal(found, corner[..., None, None] + np.stack([y, x]))  # whole, and inside the picture
    assert found.min() >= 0 and found.max() < side
    away = corner[:, 1] - corner[:, 0]
    for k in range(len(label)):
        for axis, sign in enumerate(STEPS[int(label[k])]):
            assert abs(away[k, axis] - sign * (patch + pretext.gap)) <= 2 * pretext.jitter
            if sign:
                assert np.sign(away[k, axis]) == sign
                assert abs(away[k, axis]) - patch >= pretext.gap - 2 * pretext.jitter >= 0
    assert len(np.unique(away[label == 4, 1])) == 4 * pretext.jitter + 1  # both patches are jittered
    if side == 60:
        assert len(np.unique(corner[:, 0, 0])) > 2 * pretext.jitter + 1


def test_a_head_that_reads_places_is_always_right_both_ways_round(tmp_path: Path) -> None:
    pretext = made(coordinates(6, 48), tmp_path)
    index = np.arange(6)
    boxes, label = pretext.draw(index, np.random.default_rng(1))
    patches = pretext.cut(index, boxes).view(*boxes.shape[:3], 3, pretext.tile, pretext.tile)

    class Reader(nn.Module):
        def forward(self, pairs: Tensor) -> Tensor:
            away = 255 * (pairs[:, 2:] - pairs[:, :2])
            steps = torch.tensor(list(STEPS.values())) * (pretext.patch + pretext.gap)
            return -100 * (away[:, None] - steps).square().sum(2)

    pretext.head = Reader()  # type: ignore[assignment]
    found = pretext({"patches": patches, "label": torch.from_numpy(label)})
    assert found["accuracy"] == 1
    assert found["loss"] < 1e-3
    other = pretext({"patches": patches, "label": torch.from_numpy(7 - label)})
    assert other["accuracy"] == 0


def test_the_eight_labels_are_equally_likely(tmp_path: Path) -> None:
    pretext = made(coordinates(2000, 48), tmp_path)
    _, label = pretext.draw(np.arange(2000), np.random.default_rng(5))
    assert label.size == 8000
    assert stats.chisquare(np.bincount(label.flatten(), minlength=8)).pvalue > 0.01


def test_one_channel_is_left_after_dropping(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, dropped=[2], grids=1)
    index = np.arange(40)
    patches = pretext.cut(index, pretext.draw(index, np.random.default_rng(0))[0])
    patches = patches + 0.3 * torch.rand(patches.shape, generator=torch.Generator().manual_seed(0))
    found = pretext.coloured(patches, np.random.default_rng(1))
    match = [
        np.corrcoef(one.flatten(), other.flatten())[0, 1]
        for one, other in zip(patches.flatten(0, 1), found.flatten(0, 1), strict=True)
    ]
    assert np.all((np.abs(match).reshape(-1, 3) > 0.5).sum(1) == 1)


@pytest.mark.parametrize("colour", ["drop", "project", "none"])
def test_what_a_batch_holds_is_cut_treated_and_standardised(colour: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3)).astype(np.uint8)
    pretext = made(replace(coordinates(8, 20), shards=[noise]), tmp_path, colour=colour, shrunk=0.0, grids=2)
    index = np.array([5, 0, 5])
    batch = pretext.batch(index, np.random.default_rng(3))
    patches = batch["patches"].flatten(0, 2)
    assert batch["patches"].shape == (3, 2, 2, 3, pretext.tile, pretext.tile)
    assert patches.mean((2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(patches.square().mean((1, 2, 3)), torch.ones(12), rtol=1e-3, atol=1e-3)
    boxes, label = pretext.draw(index, np.random.default_rng(3))
    assert np.array_equal(batch["label"].numpy(), label)
    raw = pretext.cut(index, boxes)
    if colour == "drop":
        heard = patches.flatten(2).std(2) > 0.5
        assert torch.equal(heard.sum(1), torch.ones(12).long())
        raw, patches = raw[heard], patches[heard]
    elif colour == "project":
        axis = torch.tensor([-1.0, 2.0, -1.0]).view(3, 1, 1)
        raw = raw - (raw * axis).sum(1, keepdim=True) * axis / 6
    centred = raw - raw.mean((-2, -1), keepdim=True)
    for one, other in zip(centred, patches, strict=True):
        assert np.corrcoef(one.flatten(), other.flatten())[0, 1] > 0.999


def test_a_third_of_the_patches_is_shrunk_and_grown_to_any_size(tmp_path: Path) -> None:
    pretext = made(coordinates(1, 48), tmp_path, shrunk=0.333, least=0.3, encoder=Place(32))
    fine = torch.rand(1500, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = pretext.resampled(fine, np.random.default_rng(0))
    changed = (found != fine).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.333, abs=0.04)
    sizes = []
    for side in range(4, 13):
        small = F.interpolate(fine[changed], size=side, mode="bicubic", antialias=True, align_corners=False)
        grown = F.interpolate(small, size=16, mode="bicubic", antialias=True, align_corners=False)
        sizes.append(int(((grown - found[changed]).abs().amax((1, 2, 3)) < 1e-4).sum()))
    assert sum(sizes) == int(changed.sum())  # each is one of these
    assert stats.chisquare(sizes).pvalue > 0.01


@pytest.mark.parametrize("side", [15, 16, 20, 28, 37, 72, 224])
def test_the_default_shares_fit_pictures_of_any_side(side: int, tmp_path: Path) -> None:
    pretext = made(coordinates(2, side), tmp_path)
    assert pretext.gap * 3 >= pretext.patch and pretext.gap >= 2 * pretext.jitter >= 2
    assert 3 * pretext.patch + 2 * pretext.gap + 2 * pretext.jitter <= side
    boxes, _ = pretext.draw(np.zeros(200, np.int64), np.random.default_rng(0))
    assert boxes[..., :2].min() >= 0 and (boxes[..., :2] + boxes[..., 2:]).max() <= side


def test_the_shares_give_the_sizes_of_the_paper(tmp_path: Path) -> None:
    for side, sizes in {96: (24, 10, 2), 64: (16, 6, 2), 48: (12, 5, 1), 32: (8, 3, 1)}.items():
        pretext = made(coordinates(1, side), tmp_path)
        assert (pretext.patch, pretext.gap, pretext.jitter) == sizes


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("grids", 0, "use at least one grid"),
        ("patch", 0.0, "above 0"),
        ("patch", 0.28, "three take 1.09 of the picture"),
        ("gap", 0.05, "at least a third of patch"),
        ("jitter", 0.0, "edges that run on tell the answer"),
        ("shrunk", 1.5, "use a probability"),
        ("least", 0.0, "above 0 and up to 1"),
        ("colour", "grey", "use drop, project or none"),
        ("dropped", [3], "of three channels"),
        ("dropped", [], "of three channels"),
        ("hidden", 0, "at least 1"),
        ("tile", 0.1, "at least 4 pixels"),
    ],
)
def test_bad_settings_are_refused(key: str, value: Any, why: str, toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"relative\.model\.{key} is .*{why}"):
        made(toy_images, tmp_path, **{key: value})


def test_jitter_that_lets_patches_overlap_is_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"relative\.model\.gap is 0\.1; use at least twice jitter"):
        made(toy_images, tmp_path, jitter=0.06)


def test_pictures_smaller_than_the_patches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"relative\.model\.patch is 0\.25: 2 pixels of pictures of 12"):
        made(coordinates(1, 12), tmp_path)
