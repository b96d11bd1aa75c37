"""AMDIM: local features see windows of the picture, both views share a flip, and the six contrasts are the paper's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modalities.common.clipped_nce import clipped_nce
from modalities.image.augment import Recipe
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.networks.amdim_net import HALVINGS, AmdimNet, window
from modalities.image.pretexts.amdim import AMDIM
from modalities.image.shared.paired_views import paired
from stages import store
from tests.conftest import params, pictures

TOY = {"model": {"width": 8, "dim": 32, "depth": 2}}
STILL: dict[str, Any] = {
    "scale": [1.0, 1.0],
    "jitter": [0.0] * 4,
    "jitter_share": 0.0,
    "gray": 0.0,
    "blur": 0.0,
    "solarise": 0.0,
}


def made(corpus: Images, trunk: ImageEncoder, folder: Path, **changes: Any) -> AMDIM:
    torch.manual_seed(0)
    return AMDIM(
        trunk, corpus, folder, **(params()["image"]["pretexts"]["amdim"]["model"] | TOY["model"] | changes)
    )


def net(side: int, width: int = 4, depth: int = 2) -> AmdimNet:
    torch.manual_seed(0)
    found = AmdimNet(side=side, width=width, dim=width * 2 ** HALVINGS[side], depth=depth).eval()
    for module in found.modules():  # as after training: no convolution is 0
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.3)
    return found


@pytest.mark.parametrize("side", [16, 32, 64])
def test_a_local_feature_sees_exactly_its_window(side: int) -> None:
    made = net(side)
    image = torch.rand(1, 3, side, side, requires_grad=True)
    assert [tuple(x.shape[2:]) for x in made.maps(image)] == [(7, 7), (5, 5), (1, 1)]
    for place in (0, 10, 24, 34, 48):
        gradient = torch.autograd.grad(made.maps(image)[0][0, :, place // 7, place % 7].sum(), image)[0]
        rows, columns = (gradient[0].abs().sum(axes).nonzero().flatten() for axes in ((0, 2), (0, 1)))
        (top, left), size = window(side, torch.tensor(place))
        assert (int(rows.min()), int(rows.max())) == (int(top), int(top) + size - 1)
        assert (int(columns.min()), int(columns.max())) == (int(left), int(left) + size - 1)
        assert size == side // 4
    # Of 5x5 each sees more, but not all; the vector sees everything.
    gradient = torch.autograd.grad(made.maps(image)[1][0, :, 2, 2].sum(), image)[0]
    assert 0.2 < float((gradient.abs().sum((0, 1)) > 0).float().mean()) < 0.3
    gradient = torch.autograd.grad(made(image).sum(), image)[0]
    assert (gradient.abs().sum((0, 1)) > 0).float().mean() > 0.9


def test_the_trunk_has_no_batch_norm_but_at_its_end_and_starts_as_an_average() -> None:
    made = AmdimNet(side=32, width=4, dim=16, depth=3)
    norms = [name for name, m in made.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms == ["one.2"]
    images = torch.rand(2, 3, 32, 32)
    first = made.seven[:2](made.normalised(images))  # (2, 4, 30, 30)
    pooled = torch.nn.functional.avg_pool2d(torch.nn.functional.avg_pool2d(first, 4, 2), 2, 2)
    seven = made.maps(images)[0]
    torch.testing.assert_close(seven[:, :4], pooled)
    assert not seven[:, 4:].any()


def test_the_encoder_reloads_without_the_method(tmp_path: Path) -> None:
    made = net(32)
    store.save_encoder(made, tmp_path, modality="image")
    again = store.load_encoder(tmp_path)
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(made(images), again(images)) and made(images).shape == (3, made.dim)
    assert all(torch.equal(a, b) for a, b in zip(made.maps(images), again.maps(images), strict=True))
    assert made.like(depth=1).spec["depth"] == 1


def marked(side: int, count: int = 40) -> Images:
    """Pictures whose left half is dark and whose right half is bright."""
    pixels = np.full((count, side, side, 3), 40, np.uint8)
    pixels[:, :, side // 2 :] = 200
    return Images(
        [pixels],
        [str(k) for k in range(count)],
        np.full(count, -1),
        np.full(count, "train"),
        [],
        np.arange(count),
    )


def test_both_views_are_flipped_or_none() -> None:
    views = paired(
        marked(20), np.arange(40), 16, np.random.default_rng(0),
        recipe=Recipe(**STILL, flip=0.5), aspect=[1.0, 1.0], shifted=0.0,
    )  # fmt: skip
    flipped = views[..., 0].mean((2, 3)) > views[..., -1].mean((2, 3))  # (2, N)
    assert torch.equal(flipped[0], flipped[1]) and 8 < int(flipped[0].sum()) < 32


def test_the_rest_of_a_view_is_its_own() -> None:
    recipe = Recipe(**(STILL | {"scale": [0.3, 1.0]}), flip=0.0)
    views = paired(
        pictures(40, 20),
        np.arange(40),
        16,
        np.random.default_rng(0),
        recipe=recipe,
        aspect=[0.7, 1.4],
        shifted=0.8,
    )
    assert ((views[0] - views[1]).flatten(1).abs().amax(1) > 0.05).all()


def test_small_pictures_are_moved_and_not_cropped() -> None:
    corpus = pictures(200, 32)
    recipe = Recipe(**(STILL | {"scale": [0.3, 0.4]}), flip=0.0)
    views = paired(
        corpus, np.arange(200), 32, np.random.default_rng(0), recipe=recipe, aspect=[0.7, 1.4], shifted=0.8
    )
    images = torch.from_numpy(corpus.pixels(np.arange(200))).permute(0, 3, 1, 2).float() / 255
    padded = torch.nn.functional.pad(images, (4,) * 4, mode="reflect")
    same = torch.stack([
        (views - padded[:, :, y : y + 32, x : x + 32]).flatten(2).abs().amax(2) < 1e-4
        for y in range(9) for x in range(9)
    ])  # fmt: skip
    assert same.any(0).all()
    still = same[4 * 9 + 4].float().mean()
    assert abs(float(still) - (0.2 + 0.8 / 81)) < 0.06


def test_the_loss_is_the_sum_of_three_tasks_both_ways(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path).eval()
    with torch.no_grad():
        for parameter in pretext.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    expected = torch.zeros(())
    for a, b in ((0, 1), (1, 0)):
        here, there = (pretext.encoder.maps(batch["views"][v]) for v in (a, b))
        five = pretext.five(here[1])
        local = torch.stack([five[n, :, p // 5, p % 5] for n, p in enumerate(batch["place"][:, a].tolist())])
        for source, target in (
            (here[2].flatten(1), pretext.five(there[1])),
            (here[2].flatten(1), pretext.seven(there[0])),
            (local, pretext.five(there[1])),
        ):
            loss, squares, _, _ = clipped_nce(source, target.flatten(2), 20.0)
            expected = expected + (loss + 0.05 * squares) / 2
    found = pretext(batch)
    torch.testing.assert_close(found["loss"], expected)
    assert float(found["accuracy.chance"]) == pytest.approx((2 / (1 + 5 * 25) + 1 / (1 + 5 * 49)) / 3)


def test_an_image_alone_costs_nothing_but_its_penalty(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(toy_images, tiny_encoder, tmp_path, penalty=0.0).eval()
    assert float(pretext(pretext.batch(np.arange(1), np.random.default_rng(0)))["loss"].detach()) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"amdim\.model\.width is 0"),
        ({"depth": 0}, r"amdim\.model\.depth is 0"),
        ({"dim": 8}, r"amdim\.model\.dim is 8; use at least 16"),
        ({"clip": -1.0}, r"amdim\.model\.clip is -1\.0; use a positive number"),
        ({"penalty": -1.0}, r"amdim\.model\.penalty is -1\.0"),
        ({"aspect": [1.4, 0.7]}, r"amdim\.model\.aspect is \[1\.4, 0\.7\]; use two ratios"),
        ({"shifted": 1.5}, r"amdim\.model\.shifted is 1\.5"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tiny_encoder, tmp_path, **changes)


def test_sides_without_a_network_are_refused(toy_images: Images, tmp_path: Path) -> None:
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=24)
    with pytest.raises(ValueError, match=r"image\.encoder\.side is 24; .* made for 16, 32, 64, 128"):
        made(toy_images, trunk, tmp_path)
