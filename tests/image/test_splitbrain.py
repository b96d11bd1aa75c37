"""Split-brain: each half predicts the other's channels and knows nothing else of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.image import encoders
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.networks.lab import to_lab
from modalities.image.pretexts.splitbrain import SplitBrain
from stages import store
from tests.conftest import params, pictures
from tests.image.test_depth import with_depth

TOY: dict[str, dict[str, Any]] = {"model": {"channels": 16}}


def trunk(width: int = 8, norm: Any = "batch") -> ImageEncoder:
    torch.manual_seed(0)
    return encoder(arch="resnet18", width=width, stem="3x3", norm=norm, side=16)


def block() -> dict[str, Any]:
    found: dict[str, Any] = params()["image"]["pretexts"]["splitbrain"]
    return found


def made(
    folder: Path, corpus: Images, *, pair: str = "lab", net: ImageEncoder | None = None, **changes: Any
) -> SplitBrain:
    if not (folder / "bins.safetensors").exists():
        folder.mkdir(exist_ok=True)
        SplitBrain.build(corpus, folder, seed=0, **(block()["build"] | {"pair": pair}))
    model = block()["model"] | {"channels": 16} | changes
    return SplitBrain(net or trunk(), corpus, folder, **model)


def deep(folder: Path, count: int = 16, **changes: Any) -> SplitBrain:
    return made(folder / "built", with_depth(folder / "corpus", count), pair="depth", **changes)


def overfitted(pretext: SplitBrain, steps: int = 30) -> tuple[SplitBrain, dict[str, torch.Tensor]]:
    pretext.train()
    batch = pretext.batch(np.arange(12), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        pretext(batch)["loss"].backward()
        optimizer.step()
    return pretext, batch


@pytest.mark.parametrize("pair", ["lab", "depth"])
def test_no_half_sees_what_it_predicts(pair: str, toy_images: Images, tmp_path: Path) -> None:
    pretext = deep(tmp_path) if pair == "depth" else made(tmp_path, toy_images)
    pretext.train()
    one, two = (torch.rand(4, n, 16, 16, requires_grad=True) for n in pretext.pair.inputs)
    first, second = pretext.predicted(one, two)
    assert torch.autograd.grad(first.sum(), [one, two], retain_graph=True, allow_unused=True)[1] is None
    assert torch.autograd.grad(second.sum(), [one, two], allow_unused=True)[0] is None
    with torch.no_grad():  # nor through statistics of batch norm
        assert torch.equal(pretext.predicted(one, torch.rand_like(two))[0], first)
        assert torch.equal(pretext.predicted(torch.rand_like(one), two)[1], second)


@pytest.mark.parametrize("pair", ["lab", "depth"])
def test_halves_share_no_parameter_and_no_buffer(pair: str, toy_images: Images, tmp_path: Path) -> None:
    pretext = deep(tmp_path) if pair == "depth" else made(tmp_path, toy_images)
    net = pretext.encoder
    two = (net.colour, net.depth) if isinstance(net, encoders.RgbDepth) else (net.lightness, net.colour)
    owned = [
        {x.data_ptr() for module in part for x in (*module.parameters(), *module.buffers())}
        for part in ((two[0], pretext.first), (two[1], pretext.second))
    ]
    assert owned[0] and owned[1] and not owned[0] & owned[1]


def test_the_pair_is_as_long_as_one_network_and_costs_less(toy_images: Images, tmp_path: Path) -> None:
    pretext, whole = made(tmp_path, toy_images), trunk()
    net = pretext.encoder
    assert isinstance(net, encoders.SplitBrain)
    assert net.dim == net.lightness.dim + net.colour.dim == whole.dim
    images = torch.rand(3, 3, 16, 16)
    net.eval()
    one, two = net.halves(images)
    assert torch.equal(net(images), torch.cat([net.lightness(one), net.colour(two)], 1))  # L first
    assert sum(p.numel() for p in net.parameters()) < 0.6 * sum(p.numel() for p in whole.parameters())


def test_classes_are_one_hot_cross_entropies_that_sum(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_images)
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    lab = F.avg_pool2d(to_lab(batch["image"]), 4)
    cells = (lab[:, None, 1:] - pretext.pair.bins.centres[:, :, None, None]).square().sum(2).argmin(1)
    first, second = torch.randn(6, len(pretext.pair.bins), 4, 4), torch.randn(6, 50, 4, 4)
    found = pretext.pair(first, second, batch)
    torch.testing.assert_close(found["ab_loss"], F.cross_entropy(first, cells))
    light = torch.bucketize(
        lab[:, 0].contiguous(), torch.arange(2.0, 100.0, 2.0), right=True
    )  # fifty bins of 2
    torch.testing.assert_close(found["lightness_loss"], F.cross_entropy(second, light))
    torch.testing.assert_close(found["loss"], found["ab_loss"] + found["lightness_loss"])


def test_l2_is_of_standardised_values_and_blind_guesses_cost_one_a_channel(
    toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(tmp_path, toy_images, loss="l2")
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    lab = F.avg_pool2d(to_lab(batch["image"]), 4)
    right = (lab - pretext.pair.mean.view(1, 3, 1, 1)) / pretext.pair.std.view(1, 3, 1, 1)
    found = pretext.pair(right[:, 1:], right[:, :1], batch)
    assert found["loss"] < 1e-8 and found["error"] < 1e-3
    off = pretext.pair(right[:, 1:] + 2, right[:, :1] - 3, batch)
    torch.testing.assert_close(torch.stack([off["ab_loss"], off["lightness_loss"]]), torch.tensor([8.0, 9.0]))
    chance = pretext.chance()
    assert chance["ab_loss"] == pytest.approx(2, rel=0.35) and chance["lightness_loss"] == pytest.approx(
        1, rel=0.35
    )


@pytest.mark.parametrize("loss", ["classes", "l2"])
def test_chance_is_the_best_constant_prediction(loss: str, toy_images: Images, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_images, loss=loss)
    batch = pretext.batch(np.arange(len(toy_images)), np.random.default_rng(0))
    pair, shape = pretext.pair, (len(toy_images), -1, 4, 4)
    guesses = [torch.zeros(n, requires_grad=True) for n in pair.outs]
    optimizer = torch.optim.LBFGS(guesses, max_iter=200, line_search_fn="strong_wolfe")

    def cost() -> torch.Tensor:
        optimizer.zero_grad()
        found: torch.Tensor = pair(*(g.view(1, -1, 1, 1).expand(*shape) for g in guesses), batch)["loss"]
        torch.autograd.backward(found)
        return found.detach()

    for _ in range(3):
        optimizer.step(cost)  # type: ignore[no-untyped-call]
    chance = pretext.chance()
    assert float(cost()) == pytest.approx(chance["ab_loss"] + chance["lightness_loss"], rel=0.01)
    assert set(chance) <= set(pretext(batch))


@pytest.mark.parametrize("width", [2, 4, 6])
def test_narrow_networks_have_the_same_gradients_in_every_layout(width: int) -> None:
    images = torch.rand(8, 3, 32, 32)

    def gradients(layout: torch.memory_format) -> dict[str, torch.Tensor]:
        net = trunk(width, norm="none").to(memory_format=layout)
        net(images).square().sum().backward()
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    plain = gradients(torch.contiguous_format)
    for _ in range(3):
        for name, value in gradients(torch.channels_last).items():
            scale = float(plain[name].abs().max())
            torch.testing.assert_close(value, plain[name], atol=1e-4 * scale, rtol=1e-3, msg=name)


@pytest.mark.parametrize("pair", ["lab", "depth"])
def test_once_learnt_the_targets_of_other_pictures_cost_more(
    pair: str, toy_images: Images, tmp_path: Path
) -> None:
    pretext, batch = overfitted(deep(tmp_path) if pair == "depth" else made(tmp_path, toy_images))
    with torch.no_grad():
        net = pretext.encoder
        inputs = (
            net.halves(batch["image"])
            if isinstance(net, encoders.SplitBrain)
            else (batch["image"], batch["hha"])
        )
        guesses = pretext.predicted(*inputs)
        own = pretext.pair(*guesses, batch)
        other = pretext.pair(*guesses, {name: x.roll(1, 0) for name, x in batch.items()})
    for name in own:
        assert other[name] > own[name], name


def test_swapping_what_the_halves_are_asked_raises_the_loss(toy_images: Images, tmp_path: Path) -> None:
    pretext, batch = overfitted(made(tmp_path, toy_images, loss="l2"))
    with torch.no_grad():
        net = pretext.encoder
        assert isinstance(net, encoders.SplitBrain)
        ab, light = pretext.predicted(*net.halves(batch["image"]))
        right = pretext.pair.standardised(pretext.pair.lab(batch))
        own = (ab - right[:, 1:]).square().mean() + (light - right[:, :1]).square().mean()
        swapped = (ab - right[:, :1]).square().mean() + (light - right[:, 1:]).square().mean()
    assert swapped > 1.5 * own


@pytest.mark.parametrize("pair", ["lab", "depth"])
def test_the_reloaded_export_is_the_path_of_training(pair: str, toy_images: Images, tmp_path: Path) -> None:
    pretext, batch = overfitted(deep(tmp_path) if pair == "depth" else made(tmp_path, toy_images), steps=2)
    pretext.eval()
    store.save_encoder(pretext.encoder, tmp_path / "saved", modality="image")
    again = store.load_encoder(tmp_path / "saved")
    net, images = pretext.encoder, batch["image"]
    with torch.no_grad():
        if isinstance(net, encoders.SplitBrain):
            one, two = net.halves(images)
            expected = torch.cat([net.lightness.maps(one)[-1], net.colour.maps(two)[-1]], 1).mean((2, 3))
        else:
            expected = net.colour.maps(images)[-1].mean((2, 3))
            assert isinstance(again, encoders.RgbDepth)
            torch.testing.assert_close(
                again.depth(batch["hha"]), net.depth(batch["hha"]), atol=1e-5, rtol=1e-5
            )
        torch.testing.assert_close(again(images), expected, atol=1e-5, rtol=1e-5)


def test_a_corpus_without_depth_is_refused_before_anything_is_built(
    toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"splitbrain\.build\.pair is depth, but the corpus has no depth; set it to lab"
    ):
        SplitBrain.build(toy_images, tmp_path, seed=0, **(block()["build"] | {"pair": "depth"}))
    assert not list(tmp_path.iterdir())


def test_grey_pictures_are_left_out_of_depth_too(tmp_path: Path) -> None:
    corpus = with_depth(tmp_path / "corpus", 16)
    for shard in corpus.shards:
        shard[1::2] = shard[1::2].mean(3, keepdims=True)
    pretext = made(tmp_path / "built", corpus, pair="depth")
    assert pretext.samples() == 8 and len(np.load(tmp_path / "built" / "hha.npy")) == 8
    gray = pictures(8, 20)
    for shard in gray.shards:
        shard[:] = shard.mean(3, keepdims=True)
    with pytest.raises(
        ValueError, match=r"under splitbrain\.build\.least_chroma \(2\.0\); take splitbrain out of run"
    ):
        made(tmp_path / "other", gray)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "l1"}, r"model\.loss is l1; use classes or l2"),
        ({"lightness_bins": 1}, r"model\.lightness_bins is 1; use 2 to 100"),
        ({"ab_weight": 0.0}, r"model\.ab_weight is 0\.0; use a positive number"),
        ({"temperature": 0.0}, r"model\.temperature is 0\.0"),
        ({"channels": 0}, r"model\.channels is 0"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], said: str, toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="splitbrain." + said):
        made(tmp_path, toy_images, **changes)


def test_a_pair_that_does_not_exist_and_l2_with_depth_are_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"splitbrain\.build\.pair is rgb; use lab or depth"):
        SplitBrain.build(toy_images, tmp_path, seed=0, **(block()["build"] | {"pair": "rgb"}))
    with pytest.raises(ValueError, match=r"model\.loss is l2, but with depth colours are classes"):
        deep(tmp_path, loss="l2")


def test_networks_that_cannot_be_halved_are_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"image\.encoder\.width is 9, which splitbrain halves; use an even number"
    ):
        made(tmp_path, toy_images, net=trunk(width=9))
    named = encoder(arch="torchvision:mobilenet_v3_small", width=8, stem="3x3", norm="batch", side=32)
    with pytest.raises(
        ValueError, match=r"splitbrain halves a ResNet, but image\.encoder\.arch is torchvision:"
    ):
        made(tmp_path, toy_images, net=named)
