"""Augmentation: the kernel and its torch form against torch's own operations, picture by picture, and the draws against
torchvision's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F
from torchvision import transforms
from torchvision.transforms import functional as TF

from modalities.image import augment
from modalities.image.augment import Draws, Recipe
from modalities.image.corpus import Images

STRONG = Recipe(
    scale=(0.05, 1), jitter=(0.8, 0.8, 0.8, 0.2), jitter_share=0.8, gray=0.2, blur=0.5, solarise=0.2, flip=0.5
)


def pictures(count: int, side: int, shards: int = 1) -> Images:
    """Smooth colour fields with noise and hard edges, in no order."""
    rng = np.random.default_rng(side)
    coarse = torch.tensor(rng.uniform(-0.2, 1.2, (count, 3, 5, 5)))
    x = F.interpolate(coarse, size=side, mode="bicubic") + torch.tensor(
        rng.normal(0, 0.05, (count, 3, side, side))
    )
    x[:, :, side // 3 :, side // 2 :] *= -1
    pixels = (x.remainder(1) * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return Images(
        shards=np.array_split(pixels, shards),
        ids=[str(k) for k in range(count)],
        labels=np.full(count, -1),
        splits=np.full(count, "train"),
        classes=[],
        rows=rng.permutation(count),
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


def one_by_one(corpus: Images, index: NDArray[np.int64], draws: Draws, side: int) -> Tensor:
    """The slow way: crop, torch's bicubic, mirror, matrix, torchvision's blur, solarise; one picture at a time."""
    pixels = torch.from_numpy(corpus.pixels(index)).permute(0, 3, 1, 2).double() / 255
    beyond = 4
    pixels = F.pad(pixels, (beyond,) * 4, mode="reflect")
    found = []
    for row in range(len(draws)):
        top, left, height, width = draws.boxes[row].tolist()
        x = pixels[row, :, top + beyond :, left + beyond :][:, :height, :width]
        x = F.interpolate(x[None], size=(side, side), mode="bicubic", antialias=True, align_corners=False)[0]
        x = x.flip(2) if draws.flips[row] else x
        luma = (torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype)[:, None, None] * x).sum(0).mean()
        matrix = torch.tensor(draws.colour[row]).double()
        x = torch.einsum("ck,khw->chw", matrix[:, :3], x) + (matrix[:, 3] * luma)[:, None, None]
        x = x.clamp(0, 1)
        radius = side // 10 // 2
        if draws.blur[row] > 0 and radius:
            x = TF.gaussian_blur(x, 2 * radius + 1, float(draws.blur[row]))
        found.append(torch.where(x >= 0.5, 1 - x, x) if draws.solarise[row] else x)
    return torch.stack(found).float()


def unlike(a: Tensor, b: Tensor, draws: Draws) -> float:
    """The largest difference; but where a view was solarised, a value at the threshold may fall to either side."""
    flipped = (
        torch.tensor(draws.solarise)[:, None, None, None]
        & ((a - (1 - b)).abs() < 1e-3)
        & ((a - 0.5).abs() < 1e-3)
    )
    return float((a - b).abs().masked_fill(flipped, 0).max())


@pytest.mark.parametrize(
    ("source", "side"), [(32, 32), (40, 64), (128, 64), (96, 40), (256, 224), (48, 17), (20, 8), (300, 30)]
)
def test_kernel_and_torch_form_agree_with_torch_picture_by_picture(source: int, side: int) -> None:
    corpus = pictures(12, source, shards=3)
    rng = np.random.default_rng(side)
    count = 6 if side > 100 else 24
    index = rng.integers(0, 12, count)
    draws = augment.draw(rng, count, source, STRONG, side)
    expected = one_by_one(corpus, index, draws, side)
    kernel = augment.render(corpus, index, draws, side)
    assert kernel.shape == (count, 3, side, side) and kernel.dtype == torch.float32
    assert unlike(kernel, expected, draws) < 0.1 / 255
    on_device = augment.render_torch(torch.from_numpy(corpus.pixels(index)), draws, side)
    assert unlike(on_device, expected, draws) < 0.1 / 255


def test_boxes_beyond_the_border_read_its_reflection() -> None:
    corpus = pictures(6, 32)
    rng = np.random.default_rng(0)
    draws = augment.plain(augment.shift_boxes(rng, 64, 32, 4, 1), rng.random(64) < 0.5)
    index = rng.integers(0, 6, 64)
    assert set(draws.boxes[:, 0]) == set(range(-4, 5))
    expected = one_by_one(corpus, index, draws, 32)
    assert unlike(augment.render(corpus, index, draws, 32), expected, draws) < 1e-6
    on_device = augment.render_torch(torch.from_numpy(corpus.pixels(index)), draws, 32)
    assert unlike(on_device, expected, draws) < 1e-6


def test_smallest_boxes_are_read() -> None:
    corpus = pictures(4, 16)
    boxes = np.array([[15, 15, 1, 1], [0, 3, 2, 1], [4, 5, 1, 12], [13, 0, 3, 2]])
    draws = augment.plain(boxes)
    expected = one_by_one(corpus, np.arange(4), draws, 20)
    assert unlike(augment.render(corpus, np.arange(4), draws, 20), expected, draws) < 1e-5


def test_a_box_of_the_asked_side_is_the_stored_pixels() -> None:
    corpus = pictures(5, 24, shards=2)
    index = np.array([4, 0, 0, 3])
    boxes = np.array([[0, 0, 24, 24], [3, 5, 10, 10], [14, 0, 10, 10], [7, 7, 10, 10]])
    stored = torch.from_numpy(corpus.pixels(index)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(augment.patches(corpus, index[:1], boxes[:1], 24), stored[:1])
    for row, patch in enumerate(augment.patches(corpus, index[1:], boxes[1:], 10), start=1):
        top, left = boxes[row, :2]
        torch.testing.assert_close(patch, stored[row, :, top : top + 10, left : left + 10])


def test_bytes_depend_on_the_generator_and_not_on_threads() -> None:
    corpus = pictures(9, 48, shards=2)
    index = np.arange(9).repeat(6)
    threads = torch.get_num_threads()
    found = []
    for count, seed in ((1, 3), (2, 3), (2, 4)):
        torch.set_num_threads(count)
        found.append(augment.views(corpus, index, 32, np.random.default_rng(seed), [STRONG, STRONG]))
    torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0][0], found[0][1])


def test_views_follow_their_own_recipes() -> None:
    corpus = pictures(8, 32)
    still = Recipe(scale=(1, 1), jitter=(0, 0, 0, 0), jitter_share=1, gray=0, blur=0, solarise=0, flip=0)
    recipes = [still, replace(still, gray=1.0), replace(still, flip=1.0), replace(still, solarise=1.0)]
    first, gray, flipped, solarised = augment.views(
        corpus, np.arange(8), 32, np.random.default_rng(0), recipes
    )
    torch.testing.assert_close(first, torch.from_numpy(corpus.pixels(np.arange(8))).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(gray, TF.rgb_to_grayscale(first, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(flipped, first.flip(3))
    torch.testing.assert_close(solarised, TF.solarize(first, 0.5))


def test_crop_flip_moves_small_pictures_and_crops_large_ones() -> None:
    corpus = pictures(10, 32)
    index = np.arange(10).repeat(16)
    moved = augment.crop_flip(corpus, index, 32, np.random.default_rng(0))
    stored = F.pad(torch.from_numpy(corpus.pixels(index)).permute(0, 3, 1, 2) / 255, (4,) * 4, mode="reflect")
    windows = stored.unfold(2, 32, 1).unfold(3, 32, 1)  # (N, 3, 9, 9, 32, 32)
    unturned = (windows - moved[:, :, None, None]).abs().amax((1, 4, 5)) < 1e-5  # (N, 9, 9)
    turned = (windows - moved.flip(3)[:, :, None, None]).abs().amax((1, 4, 5)) < 1e-5
    assert ((unturned | turned).sum((1, 2)) == 1).all()
    assert (unturned | turned).any(0).float().mean() > 0.7
    assert abs(turned.any(2).any(1).float().mean() - 0.5) < 0.15
    assert augment.crop_flip(corpus, index, 24, np.random.default_rng(0)).shape == (160, 3, 24, 24)


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


@pytest.mark.parametrize("box", [[0, 0, 0, 4], [-16, 0, 16, 16], [0, 20, 4, 12], [0, 0, 40, 4]])
def test_a_box_that_cannot_be_read_is_an_error(box: list[int]) -> None:
    with pytest.raises(ValueError, match="a box of"):
        augment.patches(pictures(2, 16), np.array([0]), np.array([box]), 8)


def test_one_row_of_parameters_a_sample() -> None:
    with pytest.raises(ValueError, match="3 samples, 1 draws"):
        augment.patches(pictures(4, 16), np.arange(3), np.array([[0, 0, 8, 8]]), 8)
