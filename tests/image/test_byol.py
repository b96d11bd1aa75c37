"""BYOL: the loss is the paper's distance, and only one side of it learns by gradients."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Batch
from modalities.common.health import effective_rank, spread
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.pretexts.byol import BYOL, regression
from stages import optimizers
from tests.conftest import params

TOY = {"model": {"hidden": 32, "dim": 16}}


def made(corpus: Images, folder: Path, trunk: ImageEncoder | None = None, **changes: Any) -> BYOL:
    torch.manual_seed(0)
    trunk = trunk or encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    model = params()["image"]["pretexts"]["byol"]["model"] | TOY["model"]
    return BYOL(trunk, corpus, folder, **(model | changes))


def drawn(pretext: BYOL, count: int = 8) -> Batch:
    return pretext.batch(np.arange(count), np.random.default_rng(0))


def slow(pretext: BYOL, pair: Tensor, *, stop: bool) -> Tensor:
    """The paper's equation 2 both ways, as distances. Without `stop`, gradients pass through the targets too."""
    loss = torch.zeros(())
    for mine, other in ((0, 1), (1, 0)):
        a = F.normalize(pretext.predictor(pretext.projector(pretext.encoder(pair[mine]))), dim=1)
        # At the start twin and network are equal, so the network itself stands for its twin.
        b = F.normalize(pretext.projector(pretext.encoder(pair[other])), dim=1)
        loss = loss + (a - (b.detach() if stop else b)).square().sum(1).mean()
    return loss


def gradient(pretext: BYOL, loss: Tensor) -> Tensor:
    parts = torch.autograd.grad(loss, list(pretext.encoder.parameters()))
    return torch.cat([part.flatten() for part in parts])


def test_the_loss_is_the_squared_distance_of_unit_vectors() -> None:
    a, b = F.normalize(torch.randn(5, 7), dim=1), F.normalize(torch.randn(5, 7), dim=1)
    expected = sum(float(np.square(x - y).sum()) for x, y in zip(a.numpy(), b.numpy(), strict=True)) / 5
    assert float(regression(a, b)) == pytest.approx(expected, rel=1e-5)
    assert float(regression(a, a)) == pytest.approx(0, abs=1e-6)
    assert float(regression(a, -a)) == pytest.approx(4)


def test_both_ways_are_summed_and_gradients_stop_at_the_targets(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    batch = drawn(pretext)
    found = pretext(batch)["loss"]
    expected = slow(pretext, batch["views"], stop=True)
    torch.testing.assert_close(found, expected)
    mine = gradient(pretext, found)
    torch.testing.assert_close(mine, gradient(pretext, expected), rtol=1e-3, atol=1e-5)
    leaky = gradient(pretext, slow(pretext, batch["views"], stop=False))
    assert float((leaky - mine).norm() / mine.norm()) > 0.1


def test_no_gradient_and_no_optimizer_reach_the_twin(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    pretext(drawn(pretext))["loss"].backward()
    assert all(p.grad is None for p in pretext.teacher.parameters())
    online = [*pretext.encoder.parameters(), *pretext.projector.parameters(), *pretext.predictor.parameters()]
    assert all(p.grad is not None for p in online)
    moved = {id(p) for group in optimizers.groups(pretext, 0.1, 0.0) for p in group["params"]}
    assert moved == {id(p) for p in online}


def test_momentum_starts_as_set_and_ends_at_one(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, momentum=0.6, momentum_end=1.0)
    fast, lagging = pretext.projector.get_parameter("0.weight"), pretext.teacher.get_parameter("1.0.weight")
    for progress in (0.0, 0.3, 0.5, 1.0):
        with torch.no_grad():
            fast.add_(torch.randn_like(fast))
        momentum = 1 - (1 - 0.6) * (math.cos(math.pi * progress) + 1) / 2
        expected = momentum * lagging.detach() + (1 - momentum) * fast.detach()
        pretext.after_step(progress)
        torch.testing.assert_close(lagging.detach(), expected)
    # At the end it stands still.
    before = lagging.clone()
    with torch.no_grad():
        fast.zero_()
    pretext.after_step(1.0)
    assert torch.equal(lagging, before)


def test_the_twin_norms_by_its_own_batch(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path).train()
    before = {name: value.clone() for name, value in pretext.teacher.named_buffers()}
    batch = drawn(pretext)
    first = pretext(batch)["loss"]
    after = dict(pretext.teacher.named_buffers())
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    for name, value in pretext.teacher.named_buffers():
        if "running" in name:
            value.fill_(3.0)  # statistics that would ruin targets that used them
    torch.testing.assert_close(pretext(batch)["loss"], first)


class Constant(ImageEncoder):
    """What a collapsed network does: one vector for all images."""

    dim = 32

    def __init__(self) -> None:
        super().__init__(side=16, channels=3)
        self.vector = torch.nn.Parameter(torch.ones(self.dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.vector.expand(len(x), -1)


def test_a_constant_encoder_can_have_a_loss_of_zero_yet_shows_in_every_sign_of_health(
    toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(toy_images, tmp_path, Constant()).train()
    with torch.no_grad():  # the predictor's job is then one constant, which its last bias can hold
        constant = pretext.projector(pretext.encoder(torch.zeros(8, 3, 16, 16)))[0]
        pretext.predictor.get_parameter("3.weight").zero_()
        pretext.predictor.get_parameter("3.bias").copy_(constant)
    found = pretext(drawn(pretext))
    assert float(found["loss"].detach()) == pytest.approx(0, abs=1e-5)
    assert float(found["accuracy"]) == pytest.approx(1 / 8)
    vectors = pretext.encoder(pretext.encoder.read(toy_images, np.arange(32))).detach()
    assert spread(vectors) < 0.1 / math.sqrt(32)
    assert effective_rank(vectors) < 5


def test_views_are_drawn_by_their_own_recipes(toy_images: Images, tmp_path: Path) -> None:
    recipe = params()["image"]["pretexts"]["byol"]["model"]["recipes"][0]
    still = recipe | {"scale": [1.0, 1.0], "jitter_share": 0.0, "gray": 0.0, "flip": 0.0}
    pretext = made(toy_images, tmp_path, recipes=[still, still | {"gray": 1.0}])
    first, second = drawn(pretext)["views"]
    assert (
        float((second.amax(1) - second.amin(1)).max()) < 1e-3 < float((first.amax(1) - first.amin(1)).max())
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 1.1}, r"byol\.model\.momentum is 1\.1; use 0"),
        ({"momentum_end": -1.0}, r"byol\.model\.momentum_end is -1\.0; use 0"),
        ({"recipes": []}, r"byol\.model\.recipes has 0 entries; give one for each"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tmp_path, **changes)


def test_a_batch_of_one_is_refused(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    with pytest.raises(ValueError, match=r"train\.batch is 1; byol needs at least 2 pictures"):
        pretext(drawn(pretext, 1))
