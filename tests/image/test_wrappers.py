"""Wrappers: RGB in, the same vectors again after reloading, and nothing of what they hide gets through."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.base import Encoder
from modalities.image.encoders import encoder
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.image.networks.wrappers import Gray, Lightness, PatchGrid, RgbDepth, Sobel, SplitBrain
from stages import store


def trunk(side: int = 16, **changes: Any) -> Encoder:
    return encoder(arch="resnet18", width=8, stem="3x3", norm="layer", side=side).like(**changes)


def every() -> dict[str, Encoder]:
    torch.manual_seed(0)
    return {
        "lightness": Lightness(encoder=trunk()),
        "gray": Gray(encoder=trunk()),
        "sobel": Sobel(encoder=trunk(channels=2)),
        "split-brain": SplitBrain(lightness=trunk(channels=1), colour=trunk(channels=2)),
        "rgb of rgb and depth": RgbDepth(colour=trunk(), depth=trunk()),
        "grid": PatchGrid(encoder=trunk(), patch=8, stride=4),
        "grid of gray": Gray(encoder=PatchGrid(encoder=trunk(), patch=8, stride=4)),
    }


@pytest.mark.parametrize("name", list(every()))
def test_saved_and_reloaded_it_gives_the_same_vectors_and_maps(name: str, tmp_path: Path) -> None:
    made = every()[name].eval()
    store.save_encoder(made, tmp_path, modality="image")
    again = store.load_encoder(tmp_path)
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(made(images), again(images)) and made(images).shape == (3, made.dim)
    maps = made.maps(images)
    torch.testing.assert_close(maps[-1].mean((2, 3)), made(images))
    assert all(torch.equal(a, b) for a, b in zip(maps, again.maps(images), strict=True))
    fresh = made.like()
    assert fresh.spec == made.spec and not torch.equal(fresh.eval()(images), made(images))


def recoloured(images: Tensor) -> Tensor:
    """Other colours of the same lightness, all inside the gamut."""
    lab = to_lab(images)
    lab[:, 1:] *= 0.5
    return to_rgb(lab)


def test_colour_does_not_reach_a_lightness_network_nor_lightness_the_colour_half() -> None:
    images = torch.rand(4, 3, 16, 16) * 0.4 + 0.3
    made = every()
    light = made["lightness"].eval()
    torch.testing.assert_close(light(images), light(recoloured(images)), rtol=1e-3, atol=1e-4)
    split = made["split-brain"].eval()
    x = images.clone().requires_grad_()
    first, second = SplitBrain.halves(x)
    assert isinstance(split, SplitBrain) and first.shape[1] == 1 and second.shape[1] == 2
    assert not {id(p) for p in split.lightness.parameters()} & {id(p) for p in split.colour.parameters()}
    assert torch.equal(split(images)[:, : split.lightness.dim], split.lightness(SplitBrain.halves(images)[0]))


def test_the_grid_is_what_slicing_gives() -> None:
    images = torch.rand(2, 3, 16, 16)
    made = every()["grid"]
    assert isinstance(made, PatchGrid)
    cut = made.grid(images)
    assert cut.shape == (2, 3, 3, 3, 8, 8)
    for row in range(3):
        for column in range(3):
            r, c = 4 * row, 4 * column
            assert torch.equal(cut[:, row, column], images[:, :, r : r + 8, c : c + 8])


def test_sobel_equals_scipy() -> None:
    from scipy import ndimage

    image = torch.rand(1, 3, 12, 12)
    luma = (image[0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).numpy()
    found = Sobel(encoder=trunk(channels=2)).seen(image)[0]
    for channel, axis in enumerate((1, 0)):
        expected = ndimage.sobel(luma, axis, mode="nearest") / 8 + 0.5
        np.testing.assert_allclose(found[channel].numpy(), expected, atol=1e-5)


def test_lab_has_its_known_corners_and_comes_back() -> None:
    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).float()
    lab = to_lab(colours.view(5, 3, 1, 1)).view(5, 3)
    known = [
        [0, 0, 0],
        [100, 0, 0],
        [53.2406, 80.0923, 67.2027],
        [87.7351, -86.1830, 83.1795],
        [32.2957, 79.1880, -107.8602],
    ]
    torch.testing.assert_close(lab, torch.tensor(known), atol=0.02, rtol=0)
    many = torch.rand(100, 3, 10, 10)
    torch.testing.assert_close(to_rgb(to_lab(many)), many, atol=1e-3, rtol=0)


def test_lab_equals_scikit_image() -> None:
    skimage = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    colours = torch.rand(1, 3, 100, 100)
    expected = skimage.rgb2lab(colours[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(to_lab(colours)[0].permute(1, 2, 0).numpy(), expected, atol=1e-3)


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="patches of 20 px every 4 do not fit images of 16 px"):
        PatchGrid(encoder=trunk(), patch=20, stride=4)
