"""Rendering: the kernel and its torch form against torch's own operations, picture by picture."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as TF

from modalities.image import augment
from modalities.image.augment import Draws, Recipe
from modalities.image.corpus import Images

STRONG = Recipe(
    scale=(0.05, 1), jitter=(0.8, 0.8, 0.8, 0.2), jitter_share=0.8, gray=0.2, blur=0.5, solarise=0.2, flip=0.5
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The oracle is many small operations, in which torch's threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
            for taps in ([2 * radius + 1, 1], [1, 2 * radius + 1]):
                x = TF.gaussian_blur(x, taps, float(draws.blur[row]))
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
    # A device that is named is served by the torch form, also where it is the CPU.
    on_device = augment.render(corpus, index, draws, side, device=torch.device("cpu"))
    assert unlike(on_device, expected, draws) < 0.1 / 255


def test_boxes_beyond_the_border_read_its_reflection() -> None:
    corpus = pictures(6, 32)
    rng = np.random.default_rng(0)
    draws = augment.plain(augment.shift_boxes(rng, 64, 32, 4, 1), rng.random(64) < 0.5)
    index = rng.integers(0, 6, 64)
    assert set(draws.boxes[:, 0]) == set(range(-4, 5))
    expected = one_by_one(corpus, index, draws, 32)
    assert unlike(augment.render(corpus, index, draws, 32), expected, draws) < 1e-6
    on_device = augment.render(corpus, index, draws, 32, device=torch.device("cpu"))
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
    found = []
    for count, seed in ((1, 3), (2, 3), (2, 4)):
        torch.set_num_threads(count)
        found.append(augment.views(corpus, index, 32, np.random.default_rng(seed), [STRONG, STRONG]))
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


@pytest.mark.parametrize("box", [[0, 0, 0, 4], [-16, 0, 16, 16], [0, 20, 4, 12], [0, 0, 40, 4]])
def test_a_box_that_cannot_be_read_is_an_error(box: list[int]) -> None:
    with pytest.raises(ValueError, match="a box of"):
        augment.patches(pictures(2, 16), np.array([0]), np.array([box]), 8)


def test_one_row_of_parameters_a_sample() -> None:
    with pytest.raises(ValueError, match="3 samples, 1 draws"):
        augment.patches(pictures(4, 16), np.arange(3), np.array([[0, 0, 8, 8]]), 8)


def test_views_of_a_corpus_on_a_device_are_those_of_the_kernel() -> None:
    corpus = pictures(12, 40)
    index, recipes = np.arange(12), [STRONG, STRONG]
    kernel, torched = (
        augment.views(each, index, 24, np.random.default_rng(3), recipes)
        for each in (corpus, corpus.on(torch.device("cpu")))
    )
    assert torch.quantile((kernel - torched).abs(), 0.999) < 1 / 255 and not torch.equal(kernel, torched)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_views_stay_there_and_are_those_of_the_kernel() -> None:
    corpus = pictures(12, 40)
    made = augment.views(
        corpus.on(torch.device("cuda")), np.arange(12), 24, np.random.default_rng(3), [STRONG]
    )
    assert made.is_cuda
    kernel = augment.views(corpus, np.arange(12), 24, np.random.default_rng(3), [STRONG])
    assert torch.quantile((kernel - made.cpu()).abs(), 0.999) < 1 / 255
