"""Colour cells: what sRGB touches, soft codes that say where a colour lies, weights whose mean is one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.networks.lab import to_lab
from modalities.image.shared import colour_bins
from modalities.image.shared.colour_bins import (
    Built,
    ColourBins,
    cross_entropy,
    nearest,
    rebalanced,
    touched,
    typical,
)
from tests.conftest import pictures

KEYS: dict[str, Any] = {"step": 10, "smoothing": 5.0, "uniform": 0.5, "least_chroma": 2.0, "stride": 4}


def bins() -> ColourBins:
    centres = touched(10)
    prior = torch.rand(len(centres), generator=torch.Generator().manual_seed(0)) ** 8
    return ColourBins(centres, prior / prior.sum(), torch.ones(len(centres)))


def some_ab() -> torch.Tensor:
    images = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    return to_lab(images)[:, 1:]


def gray(count: int, side: int = 20) -> Images:
    corpus = pictures(count, side)
    flat = np.repeat(corpus.pixels(np.arange(count)).mean(3, keepdims=True).astype(np.uint8), 3, 3)
    return Images([flat], corpus.ids, corpus.labels, corpus.splits, corpus.classes, corpus.rows)


def test_the_cells_are_those_that_colours_of_srgb_fall_into() -> None:
    centres = touched(10)
    inside = torch.rand(1, 3, 1000, 1000, generator=torch.Generator().manual_seed(0))
    cells = torch.unique((to_lab(inside)[0, 1:] / 10).round().flatten(1), dim=1).T * 10
    have = {tuple(cell) for cell in centres.tolist()}
    assert {
        tuple(cell) for cell in cells.tolist()
    } <= have  # the faces of the cube cast the shadow of its inside
    assert (
        len(have) == len(centres) and abs(len(have) - 262) <= 2
    )  # not the paper's 313, which no count gives
    assert len(touched(20)) < len(centres) < len(touched(5))


def test_the_nearest_cell_is_the_nearest() -> None:
    centres = touched(10)
    ab = some_ab().permute(0, 2, 3, 1).reshape(-1, 2)[:50]
    index, squared = nearest(ab, centres, 3)
    for row, colour in enumerate(ab.double().numpy()):
        distance = ((centres.double().numpy() - colour) ** 2).sum(1)
        np.testing.assert_allclose(squared[row], np.sort(distance)[:3], rtol=1e-4, atol=1e-4)
        assert index[row, 0] == distance.argmin()


def test_a_soft_code_sums_to_one_and_its_mean_is_within_half_a_diagonal() -> None:
    made, ab = bins(), some_ab()
    index, share = made.code(ab, 5, 5.0)
    assert index.shape == share.shape == (4, 5, 20, 20)
    torch.testing.assert_close(share.sum(1), torch.ones(4, 20, 20))
    mean = (made.centres[index] * share[..., None]).sum(1).permute(0, 3, 1, 2)
    assert (mean - ab).norm(dim=1).max() < 10 * 2**0.5 / 2
    slow = torch.exp(-(made.centres[index[0, :, 3, 4]] - ab[0, :, 3, 4]).square().sum(1) / (2 * 5.0**2))
    torch.testing.assert_close(share[0, :, 3, 4], slow / slow.sum())


def test_a_soft_code_becomes_one_hot_as_sigma_goes_to_nothing() -> None:
    made, ab = bins(), some_ab()
    index, share = made.code(ab, 5, 1e-3)
    apart = (nearest(ab.permute(0, 2, 3, 1).reshape(-1, 2), made.centres, 2)[1].diff(dim=1) > 1e-3).view(
        4, 20, 20
    )
    torch.testing.assert_close(share[:, 0][apart], torch.ones(int(apart.sum())))
    assert torch.equal(made.code(ab, 1, 5.0)[0], index[:, :1])


def test_weights_have_mean_one_and_are_bounded_where_a_cell_is_never_seen() -> None:
    made = bins()
    prior = made.prior.clone()
    prior[::3] = 0
    prior /= prior.sum()
    for uniform in (0.05, 0.5, 1.0):
        smoothed, weights = rebalanced(prior, made.centres, 5.0, uniform)
        assert float(smoothed.sum()) == pytest.approx(1) and float(smoothed @ weights) == pytest.approx(1)
        assert (
            weights.max() / weights.min()
            <= ((1 - uniform) * smoothed.max() * len(prior) + uniform) / uniform + 1e-6
        )
    torch.testing.assert_close(weights, torch.ones_like(weights))  # uniform 1: every colour weighs the same


def test_smoothing_is_a_gaussian_over_cells() -> None:
    centres = torch.tensor([[0.0, 0], [10, 0], [0, 20]])
    smoothed, weights = rebalanced(torch.tensor([1.0, 0, 0]), centres, 5.0, 0.5)
    kernel = np.exp(-np.array([0, 100, 400]) / 50)
    np.testing.assert_allclose(smoothed, kernel / kernel.sum())
    slow = 1 / (0.5 * kernel / kernel.sum() + 0.5 / 3)
    np.testing.assert_allclose(weights, slow / (slow * kernel / kernel.sum()).sum())


def test_a_prediction_that_is_the_code_costs_its_entropy() -> None:
    made, ab = bins(), some_ab()
    index, share = made.code(ab, 5, 5.0)
    target = torch.zeros(4, len(made), 20, 20).scatter_(1, index, share)
    found = cross_entropy(target.clamp_min(1e-30).log(), index, share)
    torch.testing.assert_close(found, -torch.special.xlogy(share, share).sum(1), rtol=1e-4, atol=1e-5)
    logits = torch.randn(4, len(made), 20, 20)
    torch.testing.assert_close(
        cross_entropy(logits, index, share), F.cross_entropy(logits, target, reduction="none")
    )


def test_the_annealed_mean_goes_from_the_mean_to_the_mode() -> None:
    made = bins()
    logits = torch.randn(1, len(made), 2, 2)
    expected = torch.einsum("qhw,qc->chw", logits[0].softmax(0), made.centres)
    torch.testing.assert_close(made.colours(logits, 1.0)[0], expected, rtol=1e-4, atol=1e-4)
    mode = made.centres[logits[0].argmax(0)].permute(2, 0, 1)
    torch.testing.assert_close(made.colours(logits, 1e-4)[0], mode, rtol=1e-3, atol=0.05)


def test_no_single_colour_beats_the_typical_one() -> None:
    rng = torch.Generator().manual_seed(0)
    colours = torch.cat(
        [torch.zeros(60, 2), 40 + 20 * torch.randn(50, 2, generator=rng)]
    )  # much grey, as in pictures

    def error(guess: torch.Tensor) -> float:
        return float((colours - guess).norm(dim=1).mean())

    best = error(typical(colours))
    assert best < error(colours.mean(0)) - 1
    assert all(best <= error(4 * torch.randn(2, generator=rng)) + 1e-2 for _ in range(200))


def test_the_survey_counts_all_colours_and_leaves_grey_pictures_out(tmp_path: Path) -> None:
    colour, flat = pictures(40, 20), gray(40)
    pixels = colour.pixels(np.arange(40))
    pixels[5::8] = flat.pixels(np.arange(5, 40, 8))
    corpus = Images([pixels], colour.ids, colour.labels, colour.splits, colour.classes, colour.rows)
    colour_bins.write(corpus, tmp_path, method="colorization", **KEYS)
    about, built = json.loads((tmp_path / "colours.json").read_text()), Built.load(tmp_path)
    assert about == {"bins": len(built.bins), "pictures": 40, "gray": 5, "stride": 4}
    assert not set(built.rows) & set(range(5, 40, 8)) and len(built.rows) == 35
    lab = to_lab(torch.from_numpy(pixels[built.rows]).permute(0, 3, 1, 2) / 255).double()
    lab = lab.view(35, 3, 5, 4, 5, 4).mean((3, 5)).permute(0, 2, 3, 1).reshape(-1, 3)
    torch.testing.assert_close(built.mean.double(), lab.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(built.std.double(), lab.std(0, unbiased=False), rtol=1e-4, atol=1e-4)
    cells = (lab[:, None, 1:] - built.bins.centres).square().sum(2).argmin(1)
    counted = torch.bincount(cells, minlength=len(built.bins)) / len(cells)
    torch.testing.assert_close(built.bins.prior.double(), counted.double(), rtol=0, atol=2e-3)
    assert float(built.bins.prior.sum()) == pytest.approx(1, abs=1e-5)


def test_a_grey_corpus_is_refused_with_the_way_out(tmp_path: Path) -> None:
    message = (
        r"no picture is in colour: the mean chroma is 0\.0 at most, under colorization\.build\.least_chroma \(2\.0\); "
        r"take colorization out of run\.image, or set image\.ingest\.source to colour pictures"
    )
    with pytest.raises(ValueError, match=message):
        colour_bins.write(gray(12), tmp_path, method="colorization", **KEYS)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("step", 0, r"build\.step is 0; use 1 to 50"),
        ("smoothing", 0.0, r"build\.smoothing is 0\.0; use 1 to 50"),
        ("uniform", 0.0, r"build\.uniform is 0\.0; use more than 0"),
        ("uniform", 1.5, r"build\.uniform is 1\.5"),
        ("stride", 32, r"build\.stride is 32; use 1 to 20 pixels"),
    ],
)
def test_settings_that_make_no_cells_are_refused(key: str, value: float, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        colour_bins.write(pictures(8, 20), tmp_path, method="splitbrain", **(KEYS | {key: value}))


def test_a_method_that_was_not_built_says_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `dvc repro` first"):
        Built.load(tmp_path)
