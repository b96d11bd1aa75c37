"""What is drawn for a view: boxes and jitters against torchvision's, shares against the recipe's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional as TF

from modalities.image import augment
from modalities.image.augment import Recipe

STRONG = Recipe(
    scale=(0.05, 1), jitter=(0.8, 0.8, 0.8, 0.2), jitter_share=0.8, gray=0.2, blur=0.5, solarise=0.2, flip=0.5
)


def jittered(x: Tensor, factors: NDArray[np.float64], order: list[int]) -> Tensor:
    """Brightness, contrast, saturation and hue of one (3, S, S), one after the other in this order."""
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype)
    brightness, contrast, saturation, hue = factors.tolist()

    def gray(x: Tensor) -> Tensor:
        return (luma[:, None, None] * x).sum(0, keepdim=True)

    def turned(x: Tensor) -> Tensor:
        angle = 2 * np.pi * hue
        y, i, q = torch.einsum("ck,khw->chw", torch.tensor(augment.YIQ, dtype=x.dtype), x)
        i, q = i * np.cos(angle) + q * np.sin(angle), q * np.cos(angle) - i * np.sin(angle)
        return torch.einsum("ck,khw->chw", torch.tensor(augment.BACK, dtype=x.dtype), torch.stack([y, i, q]))

    steps: list[Callable[[Tensor], Tensor]] = [
        lambda x: brightness * x,
        lambda x: contrast * x + (1 - contrast) * gray(x).mean(),
        lambda x: saturation * x + (1 - saturation) * gray(x),
        turned,
    ]
    for step in order:
        x = steps[step](x)
    return x


def test_the_four_jitters_commute_and_equal_their_matrix() -> None:
    rng = np.random.default_rng(0)
    factors = augment.draw_jitter(rng, 24, STRONG)
    colour = augment.colours(factors, np.zeros(24, np.bool_))
    for row in range(24):
        x = torch.tensor(rng.random((3, 6, 6)))
        mean = float((torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype) @ x.flatten(1)).mean())
        matrix = torch.tensor(colour[row]).double()
        expected = torch.einsum("ck,khw->chw", matrix[:, :3], x) + (matrix[:, 3] * mean)[:, None, None]
        torch.testing.assert_close(
            jittered(x, factors[:, row], rng.permutation(4).tolist()), expected, atol=1e-3, rtol=0
        )


def test_brightness_contrast_and_saturation_are_those_of_torchvision() -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    for factors, theirs in (
        ((0.7, 1, 1, 0), TF.adjust_brightness(x, 0.7)),
        ((1, 1.3, 1, 0), TF.adjust_contrast(x, 1.3)),
        ((1, 1, 0.4, 0), TF.adjust_saturation(x, 0.4)),
    ):
        ours = jittered(x.double(), np.array(factors), [0, 1, 2, 3]).float()
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


@pytest.mark.parametrize("hue", [-0.2, -0.05, 0.05, 0.2])
def test_hue_turns_colours_as_far_as_torchvisions_on_average(hue: float) -> None:
    def angle(x: Tensor) -> Tensor:
        _, i, q = torch.einsum("ck,khw->chw", torch.tensor(augment.YIQ, dtype=torch.float32), x)
        return torch.atan2(q, i)

    # Every hue once, equally bright and pure: the hexagon of HSV is turned through unevenly, but all the way round.
    x = TF.adjust_hue(torch.tensor([0.8, 0.3, 0.3])[:, None, None], 0).repeat(1, 1, 360)
    x = torch.cat(
        [TF.adjust_hue(x[:, :, :1], turn) for turn in np.linspace(-0.5, 0.5, 360, endpoint=False)], 2
    )
    ours = angle(jittered(x.double(), np.array([1, 1, 1, hue]), [3]).float()) - angle(x)
    theirs = angle(TF.adjust_hue(x, hue)) - angle(x)
    expected = torch.tensor(2 * np.pi * hue)
    for found, spread in ((ours, 1e-3), (theirs, 0.3)):
        turned = torch.atan2((found).sin(), (found).cos())
        assert abs(turned.mean().abs() - expected.abs()) < 0.02 and turned.std() < spread
    assert (ours.sin().mean() > 0) == (theirs.sin().mean() > 0)


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.35, 1.0), (0.2, 0.3)])
def test_boxes_are_distributed_as_torchvisions(scale: tuple[float, float]) -> None:
    ours = augment.crop_boxes(np.random.default_rng(1), 3000, 96, scale)
    torch.manual_seed(1)
    image = torch.empty(3, 96, 96)
    theirs = np.array([
        transforms.RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(3000)
    ])  # fmt: skip
    measures: list[Callable[[NDArray[np.int64]], NDArray[np.float64]]] = [
        lambda box: box[:, 2] * box[:, 3] / 96**2,
        lambda box: np.log(box[:, 3] / box[:, 2]),
        lambda box: (box[:, 0] + 0.5) / (97 - box[:, 2]),
        lambda box: (box[:, 1] + 0.5) / (97 - box[:, 3]),
    ]
    for measure in measures:
        a, b = measure(ours), measure(theirs)
        assert abs(a.mean() - b.mean()) < 0.15 * b.std()
        assert abs(a.std() / b.std() - 1) < 0.06
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] + ours[:, 2:] <= 96).all()


def test_where_no_try_fits_the_whole_picture_is_taken() -> None:
    boxes = augment.crop_boxes(np.random.default_rng(0), 50, 40, (1.0, 1.0), (1.2, 1.3))
    assert (boxes == [0, 0, 40, 40]).all()


def test_jitter_is_distributed_as_torchvisions() -> None:
    strengths = (0.4, 0.8, 1.2, 0.2)
    recipe = replace(STRONG, jitter=strengths, jitter_share=1.0)
    ours = augment.draw_jitter(np.random.default_rng(1), 3000, recipe)
    torch.manual_seed(1)
    jitter = transforms.ColorJitter(*strengths)
    theirs = np.array([
        jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)[1:] for _ in range(3000)
    ]).T  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        assert abs(a.mean() - b.mean()) < 0.1 * b.std() and abs(a.std() / b.std() - 1) < 0.05
        assert stats.ks_2samp(a, b).pvalue > 1e-3


def test_shares_and_widths_are_those_of_the_recipe() -> None:
    rng = np.random.default_rng(0)
    recipe = replace(STRONG, gray=0.25, blur=0.5, solarise=0.1, flip=0.7, jitter_share=0.6)
    draws = augment.draw(rng, 8000, 64, recipe, 64)
    gray = np.ptp(draws.colour[:, :, :3], axis=1).max(1) < 1e-6
    for share, asked in ((gray, 0.25), (draws.solarise, 0.1), (draws.flips, 0.7), (draws.blur > 0, 0.5)):
        assert abs(share.mean() - asked) < 4 * (asked * (1 - asked) / 8000) ** 0.5
    assert stats.kstest(draws.blur[draws.blur > 0], stats.uniform(0.1, 1.9).cdf).pvalue > 1e-3
    untouched = (augment.draw_jitter(rng, 8000, recipe) == [[1], [1], [1], [0]]).all(0)
    assert abs(untouched.mean() - 0.4) < 0.025


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scale": (0.5, 0.2)}, "views.scale is"),
        ({"scale": (0.0, 1.0)}, "views.scale is"),
        ({"jitter": (0.4, 0.4, 0.4)}, "views.jitter is"),
        ({"jitter": (0.4, 0.4, 0.4, 0.6)}, "views.jitter is"),
        ({"blur": 1.5}, "views.blur is 1.5"),
        ({"flip": -0.1}, "views.flip is -0.1"),
    ],
)
def test_a_recipe_nobody_could_follow_is_an_error(change: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(STRONG, **change)  # type: ignore[arg-type]
