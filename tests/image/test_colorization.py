"""Colorization: the target is the colour of what is shown, the loss is the paper's, and colour never gets in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, Lightness, encoder
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.image.pretexts.colorization import Colorization
from tests.conftest import make, params, pictures

TOY: dict[str, dict[str, Any]] = {
    "model": {"soft": True, "rebalance": True, "channels": 16}
}  # what can go wrong


def block() -> dict[str, Any]:
    found: dict[str, Any] = params()["image"]["pretexts"]["colorization"]
    return found


def pretext(folder: Path, corpus: Images, trunk: ImageEncoder, **changes: Any) -> Colorization:
    if not (folder / "bins.safetensors").exists():
        Colorization.build(corpus, folder, seed=0, **block()["build"])
    return Colorization(trunk, corpus, folder, **(block()["model"] | {"channels": 16} | changes))


def test_the_default_is_what_the_sequel_found_better_for_features() -> None:
    model = block()["model"]
    assert (model["loss"], model["soft"], model["rebalance"]) == ("classes", False, False)


def test_the_target_is_the_area_average_of_ab(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder)
    images = made.batch(np.arange(6), np.random.default_rng(0))["image"]
    target = made.target(images)
    assert target.shape == (6, 2, 4, 4)
    lab = to_lab(images)
    for row in range(4):
        for column in range(4):
            cell = lab[:, 1:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            torch.testing.assert_close(target[:, :, row, column], cell.mean((2, 3)), rtol=1e-4, atol=1e-3)


def test_classes_cost_weighted_cross_entropy_of_the_soft_code(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder, soft=True, rebalance=True)
    ab = made.target(made.batch(np.arange(3), np.random.default_rng(0))["image"])
    logits = torch.randn(3, len(made.bins), 4, 4)
    above = below = 0.0
    for n in range(3):
        for h in range(4):
            for w in range(4):
                distance = (made.bins.centres - ab[n, :, h, w]).norm(dim=1)
                near = distance.argsort()[:5]
                share = torch.exp(-(distance[near] ** 2) / (2 * 5.0**2))
                cost = -(share / share.sum() * logits[n, :, h, w].log_softmax(0)[near]).sum()
                weight = made.bins.weights[near[0]]
                above, below = above + float(weight * cost), below + float(weight)
    assert float(made.cost(logits, ab)) == pytest.approx(above / below, rel=1e-4)


def test_plain_classes_are_plain_cross_entropy_and_so_is_a_uniform_share_of_one(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder)
    ab = made.target(made.batch(np.arange(5), np.random.default_rng(0))["image"])
    logits = torch.randn(5, len(made.bins), 4, 4)
    label = (ab[:, None] - made.bins.centres[None, :, :, None, None]).square().sum(2).argmin(1)
    torch.testing.assert_close(made.cost(logits, ab), F.cross_entropy(logits, label))
    Colorization.build(toy_images, tmp_path, seed=0, **(block()["build"] | {"uniform": 1.0}))
    even = pretext(tmp_path, toy_images, tiny_encoder, rebalance=True)
    torch.testing.assert_close(even.cost(logits, ab), F.cross_entropy(logits, label))


def test_l2_is_the_squared_distance_in_units_of_110(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder, loss="l2")
    batch = made.batch(np.arange(5), np.random.default_rng(0))
    ab = made.target(batch["image"])
    guess = torch.randn_like(ab)
    slow = ((110 * guess - ab) ** 2).sum(1).mean() / 110**2
    torch.testing.assert_close(made.cost(guess, ab), slow)
    assert made.cost(ab / 110, ab) < 1e-12
    found = made(batch)
    assert found["loss"].isfinite() and found["error"] > 0


def test_a_network_that_is_right_has_no_error_but_the_cells(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder)
    ab = made.target(made.batch(np.arange(8), np.random.default_rng(0))["image"])
    index, _ = made.bins.code(ab, 1, 5.0)
    sure = torch.full((8, len(made.bins), 4, 4), -50.0).scatter_(1, index, 50.0)
    assert (made.painted(sure) - ab).norm(dim=1).max() < 10 * 2**0.5 / 2 + 1e-3
    assert made.cost(sure, ab) < 1e-6


@pytest.mark.parametrize("loss", ["classes", "l2"])
def test_chance_is_the_error_of_the_best_single_colour(
    loss: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    made = pretext(tmp_path, toy_images, tiny_encoder, loss=loss)
    ab = made.target(made.batch(np.arange(len(made.corpus)), np.random.default_rng(0))["image"])
    errors = [
        float((ab - c.view(1, 2, 1, 1)).norm(dim=1).mean()) for c in [*made.bins.centres, ab.mean((0, 2, 3))]
    ]
    assert min(errors) - 1 < made.chance()["error"] <= min(errors) + 1e-3


def test_colour_does_not_reach_the_encoder(toy_images: Images, tmp_path: Path) -> None:
    made = make("colorization", toy_images, tmp_path).eval()
    assert isinstance(made.encoder, Lightness)
    images = torch.rand(4, 3, 16, 16) * 0.4 + 0.3
    lab = to_lab(images)
    lab[:, 1:] *= -0.5
    torch.testing.assert_close(made.encoder(images), made.encoder(to_rgb(lab)), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(to_rgb(lab), images, atol=0.02)


def test_grey_pictures_are_not_drawn(tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    corpus = pictures(24, 20)
    for shard in corpus.shards:
        shard[1::2] = shard[1::2].mean(3, keepdims=True)
    made = pretext(tmp_path, corpus, tiny_encoder)
    assert made.samples() == 12 and made.corpus.ids == corpus.ids[::2]


def test_autocast_does_not_touch_lab() -> None:
    images = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        inside = to_lab(images)
    assert torch.equal(inside, to_lab(images))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "l1"}, r"model\.loss is l1; use l2 or classes"),
        ({"loss": "l2", "soft": True}, r"model\.soft is true, which l2 has no use for"),
        ({"loss": "l2", "rebalance": True}, r"model\.rebalance is true"),
        ({"neighbours": 0}, r"model\.neighbours is 0; use 1 to \d+"),
        ({"sigma": 0.0}, r"model\.sigma is 0\.0; use a positive number"),
        ({"temperature": -1.0}, r"model\.temperature is -1\.0"),
        ({"channels": 0}, r"model\.channels is 0; use at least 1"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], said: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        pretext(tmp_path, toy_images, tiny_encoder, **changes)


def test_a_stride_that_does_not_divide_the_side_is_refused(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    Colorization.build(toy_images, tmp_path, seed=0, **(block()["build"] | {"stride": 5}))
    with pytest.raises(ValueError, match=r"colorization\.build\.stride is 5, but image\.encoder\.side is 16"):
        pretext(tmp_path, toy_images, tiny_encoder)


def test_a_network_without_maps_is_refused(toy_images: Images, tmp_path: Path) -> None:
    trunk = encoder(arch="torchvision:mobilenet_v3_small", width=8, stem="3x3", norm="batch", side=32)
    with pytest.raises(ValueError, match=r"image\.encoder\.arch has no maps; use resnet18"):
        pretext(tmp_path, toy_images, trunk)
