"""Context encoder: nothing of what is hidden reaches the network, and each term is what the paper says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.pretexts.context import ChannelWise, Context, reconstruction
from modalities.image.shared import holes
from tests.conftest import params, pictures

TOY: dict[str, dict[str, Any]] = {
    "build": {"shapes": 64},
    "model": {"adversarial": 0.1, "channels": 16},  # so that the contract sees both players
}
MASKS = ["central", "block", "region"]


def made(folder: Path, corpus: Images | None = None, *, side: int = 16, **changes: Any) -> Context:
    block = params()["image"]["pretexts"]["context"]
    corpus = corpus or pictures(24, 20)
    if not (folder / "shapes.npy").exists():
        Context.build(corpus, folder, seed=0, **(block["build"] | {"shapes": 64}))
    torch.manual_seed(0)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=side)
    return Context(trunk, corpus, folder, **(block["model"] | {"channels": 16} | changes))


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
@pytest.mark.parametrize("mask", MASKS)
def test_nothing_under_the_hole_reaches_the_network(mask: str, adversarial: float, tmp_path: Path) -> None:
    pretext = made(tmp_path, mask=mask, adversarial=adversarial, whole=0.0).train()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    other = batch | {"image": torch.where(batch["hole"], torch.rand_like(batch["image"]), batch["image"])}
    assert not torch.equal(batch["image"], other["image"])

    def painted(batch: dict[str, Tensor]) -> Tensor:
        found: Tensor = pretext.painter(pretext.encoder.maps(pretext.shown(batch))[-1])
        return found

    assert torch.equal(painted(batch), painted(other))
    # What is hidden has the mean colour: the first layer of the trunk sees 0 there.
    inside = pretext.encoder.normalised(pretext.shown(batch)).permute(0, 2, 3, 1)[batch["hole"][:, 0]]
    assert len(inside) and inside.abs().max() < 1e-6


def test_pixels_outside_the_hole_do_reach_it(tmp_path: Path) -> None:
    pretext = made(tmp_path, whole=0.0).eval()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    images = batch["image"].requires_grad_()
    pretext.painter(pretext.encoder.maps(pretext.shown(batch))[-1]).sum().backward()
    assert images.grad is not None
    reached = images.grad.abs().sum(1) > 0
    assert not reached[batch["hole"][:, 0]].any() and reached[~batch["hole"][:, 0]].float().mean() > 0.9


def test_reconstruction_over_all_is_the_plain_squared_error() -> None:
    painted, pictures = torch.randn(2, 5, 3, 8, 8)
    everywhere = torch.ones(5, 1, 8, 8)
    torch.testing.assert_close(reconstruction(painted, pictures, everywhere), F.mse_loss(painted, pictures))


def test_reconstruction_is_the_mean_over_hidden_pixels() -> None:
    painted, pictures = torch.randn(2, 5, 3, 8, 8)
    weight = (torch.rand(5, 1, 8, 8) < 0.3).float()
    slow = [
        float((painted[n, c, y, x] - pictures[n, c, y, x]) ** 2)
        for n, _, y, x in weight.nonzero().tolist()
        for c in range(3)
    ]
    assert float(reconstruction(painted, pictures, weight)) == pytest.approx(np.mean(slow), rel=1e-5)


def test_a_channel_reaches_its_own_channel_alone() -> None:
    layer = ChannelWise(3, 4)
    x = torch.randn(2, 3, 4, 4)
    jacobian = torch.func.jacrev(layer)(x)  # (n, c, y, x of the output, then of the input)
    size = jacobian.abs().sum((2, 3, 6, 7))  # (2, 3, 2, 3)
    own = torch.einsum("nm,cd->ncmd", torch.eye(2), torch.eye(3)) > 0
    assert (size[own] > 0).all() and not size[~own].any()
    each = jacobian[0, 1, :, :, 0, 1].reshape(16, 16)
    assert (each != 0).all()  # within a channel every place reaches every other
    torch.testing.assert_close(layer(x)[0, 1].flatten(), each @ x[0, 1].flatten())


@pytest.mark.parametrize("side", [16, 32, 64])
def test_regions_and_squares_cover_a_fifth_to_three_tenths(side: int) -> None:
    packed = holes.shapes(np.random.default_rng(0), 1024, 4)
    assert packed.shape == (1024, 512) and packed.dtype == np.uint8
    regions = holes.unpacked(packed, side)
    assert len(regions) > 1000
    squares = holes.squares(np.random.default_rng(0), 1000, side)
    for found in (regions, squares, holes.turned(regions, np.random.default_rng(0))):
        cover = found.mean((1, 2))
        assert cover.min() >= 0.2 and cover.max() <= 0.3 and len(np.unique(found, axis=0)) > 900
        everywhere = found.mean(0)
        assert everywhere.min() > 0 and everywhere.max() < 0.5


def test_regions_are_few_connected_shapes_and_not_specks() -> None:
    for shape in holes.unpacked(holes.shapes(np.random.default_rng(1), 50, 4), 64):
        assert ndimage.label(shape)[1] <= 8


def test_shapes_that_cover_too_much_are_left_out() -> None:
    packed = np.zeros((3, 512), np.uint8)
    packed[1] = 255
    packed[2, :128] = 255  # a quarter
    assert len(holes.unpacked(packed, 32)) == 1


def test_squares_are_squares(tmp_path: Path) -> None:
    one = holes.squares(np.random.default_rng(3), 40, 32)
    for found in one:
        # Everything hidden lies in some hidden square of the least size, 4 pixels.
        assert np.array_equal(ndimage.binary_opening(found, np.ones((4, 4), np.bool_)), found)


def test_the_middle_is_painted_with_a_band_that_weighs_ten_times(tmp_path: Path) -> None:
    pretext = made(tmp_path, pictures(8, 128), side=128, mask="central", whole=0.0)
    batch = pretext.batch(np.arange(2), np.random.default_rng(0))
    hole = batch["hole"][0, 0]
    assert hole[36:92, 36:92].all() and hole.sum() == 56 * 56  # 64 less a band of 4, as in the authors' code
    asked, weight = pretext.asked(batch)
    assert torch.equal(asked, 2 * batch["image"][:, :, 32:96, 32:96] - 1)
    assert (weight[:, 0, 4:60, 4:60] == 1).all() and weight.sum() == 2 * (56**2 + 10 * (64**2 - 56**2))
    with torch.no_grad():
        assert pretext.painter(pretext.encoder.maps(pretext.shown(batch))[-1]).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("mask", MASKS)
def test_a_share_is_shown_whole_and_costs_nothing(mask: str, tmp_path: Path) -> None:
    pretext = made(tmp_path, pictures(24, 20), mask=mask, whole=0.25, adversarial=0.1)
    batch = pretext.batch(np.tile(np.arange(24), 40), np.random.default_rng(0))
    whole = ~batch["hole"].flatten(1).any(1)
    assert whole.float().mean() == pytest.approx(0.25, abs=0.05)
    assert not pretext.asked(batch)[1][whole].any()
    few = {name: x[whole][:4] for name, x in batch.items()}
    assert pretext(few, 0)["loss"] == 0 and pretext(few, 1)["loss"] == 0


@pytest.mark.parametrize("mask", MASKS)
def test_a_critic_in_doubt_costs_the_logarithm_of_two(mask: str, tmp_path: Path) -> None:
    pretext = made(tmp_path, mask=mask, adversarial=0.001).train()
    assert pretext.critic is not None
    for parameter in pretext.critic.head.parameters():
        nn.init.zeros_(parameter)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    found = pretext(batch, 0)
    assert found["adversarial"].item() == pytest.approx(np.log(2), rel=1e-6)
    joint = 0.999 * found["reconstruction"] + 0.001 * found["adversarial"]
    torch.testing.assert_close(found["loss"], joint)
    assert pretext(batch, 1)["loss"].item() == pytest.approx(2 * np.log(2), rel=1e-6)


def test_the_critic_sees_real_and_painted_apart(tmp_path: Path) -> None:
    pretext = made(tmp_path, adversarial=0.1, whole=0.0).train()
    assert pretext.critic is not None
    seen: list[Tensor] = []
    pretext.critic.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    loss = pretext(batch, 1)["loss"]
    real, filled = seen
    assert torch.equal(real, 2 * batch["image"] - 1)
    hole = batch["hole"].expand_as(real)
    assert torch.equal(filled[~hole], real[~hole]) and not torch.equal(filled[hole], real[hole])
    pretext.critic._forward_hooks.clear()
    with torch.no_grad():
        first, second = torch.sigmoid(pretext.critic(real)), torch.sigmoid(pretext.critic(filled))
    torch.testing.assert_close(loss, -(first.log().mean() + (1 - second).log().mean()), rtol=1e-4, atol=1e-5)
    assert first.shape == (8,)


def test_each_player_leaves_the_other_alone(tmp_path: Path) -> None:
    pretext = made(tmp_path, adversarial=0.1).train()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    maker, critic = pretext.players()
    for player, (mine, other) in enumerate([(maker, critic), (critic, maker)]):
        pretext.zero_grad()
        pretext(batch, player)["loss"].backward()
        assert all(p.grad is not None for p in mine.parameters())
        assert all(p.grad is None for p in other.parameters())


def test_features_come_of_reconstruction_alone_by_default(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    assert pretext.players() == [pretext] and pretext.critic is None
    found = pretext(pretext.batch(np.arange(8), np.random.default_rng(0)))
    assert found["loss"] == found["reconstruction"] and set(pretext.chance()) == {"reconstruction"}


def test_chance_is_the_best_single_colour(tmp_path: Path) -> None:
    pretext = made(tmp_path, mask="central", whole=0.0)
    asked, weight = pretext.asked(pretext.batch(np.arange(24), np.random.default_rng(0)))
    grid = torch.linspace(-1, 1, 201)
    each = [
        (weight * (asked[:, c, None] - grid.view(1, -1, 1, 1)).square()).sum((0, 2, 3)) / weight.sum()
        for c in range(3)
    ]
    best = sum(float(cost.min()) for cost in each) / 3
    assert pretext.chance()["reconstruction"] == pytest.approx(best, rel=1e-3)


def test_the_painter_sees_the_deepest_map_alone(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    maps = pretext.encoder.maps(torch.rand(4, 3, 16, 16))
    assert pretext.painter.between.weight.shape == (maps[-1].shape[1], maps[-1][0, 0].numel(), 4)
    assert pretext.painter(maps[-1]).shape == (4, 3, 16, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask": "half"}, r"model\.mask is half; use central, block or region"),
        ({"overlap": 0.25}, r"model\.overlap is 0\.25; use a share of encoder\.side below a quarter"),
        ({"whole": 1.0}, r"model\.whole is 1\.0; use a share"),
        ({"adversarial": -0.1}, r"model\.adversarial is -0\.1"),
        ({"channels": 0}, r"model\.channels is 0; use at least 1"),
        ({"side": 20}, r"a last map of 3 cannot be doubled to 20 pixels; use an image\.encoder\.side"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, **changes)


def test_regions_want_shapes(toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    model = params()["image"]["pretexts"]["context"]["model"]
    with pytest.raises(FileNotFoundError, match="holds no shapes; run `dvc repro` first"):
        Context(tiny_encoder, toy_images, tmp_path, **model)
    Context.build(toy_images, tmp_path, seed=0, shapes=0, cells=4)
    with pytest.raises(ValueError, match=r"build\.shapes is 0, but context\.model\.mask is region"):
        Context(tiny_encoder, toy_images, tmp_path, **model)
    with pytest.raises(ValueError, match=r"build\.cells is 1; use at least 2"):
        Context.build(toy_images, tmp_path, seed=0, shapes=8, cells=1)


def test_the_same_seed_writes_the_same_shapes(toy_images: Images, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        Context.build(toy_images, tmp_path / name, seed=seed, shapes=16, cells=4)
    first, again, other = ((tmp_path / name / "shapes.npy").read_bytes() for name in "abc")
    assert first == again != other


def test_networks_without_maps_are_refused(toy_images: Images, tmp_path: Path) -> None:
    trunk = encoder(arch="torchvision:mobilenet_v3_small", width=8, stem="3x3", norm="batch", side=32)
    block = params()["image"]["pretexts"]["context"]
    Context.build(toy_images, tmp_path, seed=0, **block["build"])
    with pytest.raises(ValueError, match=r"image\.encoder\.arch has none; use resnet18"):
        Context(trunk, toy_images, tmp_path, **block["model"])
