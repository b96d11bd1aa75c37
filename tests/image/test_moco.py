"""MoCo: a twin that lags, a queue of its keys, and the papers' losses over them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Batch
from modalities.common.split_norm import SplitBatchNorm
from modalities.image.corpus import Images
from modalities.image.encoders import encoder
from modalities.image.pretexts.moco import MoCo
from stages import loop, optimizers
from tests.conftest import params, pictures
from tests.ranks import two_ranks
from tests.test_contract import share

# For the contract: all parts at once. A queue that holds one batch again and again makes negatives of positives, so
# that only a head with a predictor, which starts without any likeness, shows a loss that falls.
TOY = {"model": {"head": "v3", "hidden": 32, "dim": 16, "queue": 40, "symmetric": True, "bn_splits": 2}}

SMALL = {"hidden": 24, "dim": 12, "queue": 20, "bn_splits": 1, "symmetric": False, "temperature": 0.2}
SETTINGS: dict[str, dict[str, Any]] = {
    "v1": {"head": "linear", "bn_splits": 2, "temperature": 0.07},
    "v2": {"head": "mlp", "bn_splits": 4},
    "v3": {"head": "v3", "queue": 0, "symmetric": True, "temperature": 0.5, "momentum_end": 1.0},
}


def made(corpus: Images, folder: Path, **changes: Any) -> MoCo:
    torch.manual_seed(0)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    return MoCo(trunk, corpus, folder, **(params()["image"]["pretexts"]["moco"]["model"] | SMALL | changes))


def drawn(pretext: MoCo, start: int, count: int = 8) -> Batch:
    return pretext.batch(np.arange(start, start + count), np.random.default_rng(start))


def keys(pretext: MoCo, images: Tensor) -> Tensor:
    """By the twin, in training mode, without a trace in its statistics."""
    before = {name: value.clone() for name, value in pretext.teacher.state_dict().items()}
    with torch.no_grad():
        found = F.normalize(pretext.teacher(images), dim=1)
    pretext.teacher.load_state_dict(before)
    return found


def queries(pretext: MoCo, images: Tensor) -> Tensor:
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    with torch.no_grad():
        found = F.normalize(pretext.predictor(pretext.head(pretext.encoder(images))), dim=1)
    pretext.load_state_dict(before)
    return found


def test_the_twin_after_some_steps_is_the_closed_form(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, momentum=0.9, momentum_end=0.9)
    mine = list(pretext.encoder.parameters()) + list(pretext.head.parameters())
    expected = [0.9**4 * p.detach() for p in mine]
    for i in range(1, 5):
        for k, p in enumerate(mine):
            p.data.add_(torch.randn_like(p))
            expected[k] = expected[k] + 0.1 * 0.9 ** (4 - i) * p.detach()
        pretext.after_step(i / 4)
    for slow, value in zip(pretext.teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(slow.detach(), value, rtol=1e-4, atol=1e-5)


def test_momentum_goes_to_its_end_on_half_a_cosine(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, momentum=0.5, momentum_end=1.0)
    bias = dict(pretext.teacher.named_parameters())["1.0.bias"]
    for progress, momentum in ((0.5, 0.75), (1.0, 1.0)):
        before = bias.clone()
        pretext.head.get_parameter("0.bias").data.add_(1.0)
        now = pretext.head.get_parameter("0.bias").detach()
        pretext.after_step(progress)
        torch.testing.assert_close(bias, momentum * before + (1 - momentum) * now)


def test_the_queue_holds_the_last_keys_first_in_first_out(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, queue=20)  # 8 keys a step: the third wraps
    past: list[Tensor] = []
    assert pretext.queue
    for step in range(4):
        batch = drawn(pretext, 8 * step)
        past.append(keys(pretext, batch["views"][1]))
        pretext(batch)
        pretext.after_step(0.0)
        pushed = torch.cat(past)[-20:]
        oldest_first = pretext.queue.vectors.roll(-int(pretext.queue.pointer), 0)
        torch.testing.assert_close(oldest_first[-len(pushed) :], pushed)
        assert int(pretext.queue.filled) == len(pushed)


def test_the_loss_is_info_nce_against_the_queue(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    first, second = (batch := drawn(pretext, 0))["views"]
    q, k, queue = queries(pretext, first), keys(pretext, second), pretext.queue
    assert queue
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.vectors.T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(8, dtype=torch.long))
    torch.testing.assert_close(pretext(batch)["loss"], expected)


def test_symmetric_is_the_mean_of_both_ways_and_keeps_the_keys_of_both(
    toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(toy_images, tmp_path, symmetric=True)
    batch = drawn(pretext, 0)
    k = torch.cat([keys(pretext, batch["views"][1]), keys(pretext, batch["views"][0])])
    swapped = {"views": batch["views"].flip(0)}
    one_way = [made(toy_images, tmp_path)(each)["loss"] for each in (batch, swapped)]
    torch.testing.assert_close(pretext(batch)["loss"], sum(one_way) / 2)
    assert pretext.queue
    torch.testing.assert_close(pretext.queue.vectors[:16], k)


def test_the_third_version_contrasts_in_the_batch_both_ways(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, **SETTINGS["v3"])
    batch = drawn(pretext, 0)
    q = [queries(pretext, images) for images in batch["views"]]
    k = [keys(pretext, images) for images in batch["views"]]
    own = torch.arange(8)
    ways = [F.cross_entropy(a @ b.T / 0.5, own) for a, b in ((q[0], k[1]), (q[1], k[0]))]
    found = pretext(batch)
    torch.testing.assert_close(found["loss"], 2 * 0.5 * sum(ways) / 2)
    assert pretext.queue is None and pretext.chance() == {}


def test_no_gradient_and_no_optimizer_reach_the_twin_or_the_queue(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    pretext(drawn(pretext, 0))["loss"].backward()
    assert all(p.grad is None for p in pretext.teacher.parameters())
    assert pretext.queue and not pretext.queue.vectors.requires_grad
    assert all(p.grad is not None for p in (*pretext.encoder.parameters(), *pretext.head.parameters()))
    moved = {id(p) for group in optimizers.groups(pretext, 0.1, 0.0) for p in group["params"]}
    assert moved == {id(p) for p in (*pretext.encoder.parameters(), *pretext.head.parameters())}


def test_judging_changes_no_state(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, **SETTINGS["v2"]).eval()
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    pretext(drawn(pretext, 0))
    assert all(torch.equal(value, before[name]) for name, value in pretext.state_dict().items())


def test_accuracy_counts_once_the_queue_is_full(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, queue=16)
    found = [float(pretext(drawn(pretext, 8 * step))["accuracy"]) for step in (0, 1)]
    with torch.no_grad():  # a queue of opposites of all keys: every query is nearest to its own
        k = keys(pretext, drawn(pretext, 0)["views"][1])
        assert pretext.queue
        pretext.queue.vectors.copy_(-k.mean(0).expand(16, -1))
    assert found[0] == 0
    assert float(pretext(drawn(pretext, 0))["accuracy"]) == 1
    assert pretext.chance() == {"accuracy": pytest.approx(1 / 17)}


def test_parts_are_normed_apart_and_keys_are_dealt_to_them_in_another_order(
    toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(toy_images, tmp_path, **SETTINGS["v2"])
    norms = [m for m in pretext.modules() if isinstance(m, SplitBatchNorm)]
    assert len(norms) == 40 and {m.splits for m in norms} == {
        4
    }  # twice the 20 of a ResNet-18; v2's head has none
    seen: list[Tensor] = []
    pretext.teacher.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = drawn(pretext, 0)
    pretext(batch)
    views = batch["views"][1]
    order = [next(k for k in range(8) if torch.equal(row, views[k])) for row in seen[0]]
    assert sorted(order) == list(range(8)) and order != list(range(8))


# At a hundred times the rate, v3's norms of eight samples amplify a change of 1e-7 to one of 1e-2 within three steps.
RATE = 1e-4


def stepped(corpus: Images, folder: Path, setting: str, rank: int, world: int) -> dict[str, Tensor]:
    """State and losses after three steps over joined batches of eight."""
    pretext = made(corpus, folder, **SETTINGS[setting]).train()
    module = loop.parallel(pretext, 1, torch.device("cpu"))
    optimizer = torch.optim.SGD([p for p in pretext.parameters() if p.requires_grad], RATE)
    losses = []
    for step in range(3):
        batch = share(rank, drawn(pretext, 8 * step), world)
        torch.manual_seed(step)
        pretext.zero_grad()
        loss = module(batch)["loss"]
        torch.autograd.backward(loss)
        optimizer.step()
        pretext.after_step(step / 3)
        losses.append(loss.detach())
    return {"losses": torch.stack(losses)} | {n: v.clone() for n, v in pretext.state_dict().items()}


def one_rank(rank: int, folder: Path) -> None:
    for setting in SETTINGS:
        found = stepped(pictures(48, 20).only("train"), folder, setting, rank, 2)
        torch.save(found, folder / f"{setting} {rank}.pt")
    with pytest.raises(ValueError, match=r"bn_splits is 3; use a multiple of the 2 processes, or 1"):
        three = made(pictures(48, 20), folder, bn_splits=3)
        three(drawn(three, 0, 6))


def test_two_processes_train_each_version_as_one_does(tmp_path: Path) -> None:
    two_ranks(one_rank, tmp_path)
    for setting in SETTINGS:
        one = stepped(pictures(48, 20).only("train"), tmp_path, setting, 0, 1)
        two = [torch.load(tmp_path / f"{setting} {rank}.pt", weights_only=True) for rank in (0, 1)]
        mean = (two[0]["losses"] + two[1]["losses"]) / 2
        torch.testing.assert_close(mean, one["losses"], rtol=1e-4, atol=1e-5)
        for name in one.keys() - {"losses"}:  # weights have moved by 1e-3 at most, the twin's by 2e-5
            assert torch.equal(two[0][name], two[1][name]), f"{setting}: {name} differs between ranks"
            torch.testing.assert_close(
                two[0][name], one[name], rtol=1e-4, atol=3e-6, msg=f"{setting}: {name}"
            )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, r"moco\.model\.temperature is 0\.0; use a positive number"),
        ({"momentum": 1.5}, r"moco\.model\.momentum is 1\.5; use 0"),
        ({"momentum_end": -0.1}, r"moco\.model\.momentum_end is -0\.1; use 0"),
        ({"queue": -1}, r"moco\.model\.queue is -1; use the number of keys"),
        ({"bn_splits": 0}, r"moco\.model\.bn_splits is 0; use 1"),
        ({"head": "v4"}, r"moco\.model\.head is v4; use linear"),
        ({"recipes": []}, r"moco\.model\.recipes has 0 entries; give one for both views"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tmp_path, **changes)


def test_a_batch_that_does_not_fit_is_refused_at_the_first_step(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, queue=15, symmetric=True)
    with pytest.raises(ValueError, match=r"moco\.model\.queue is 15, but a step brings 16 keys"):
        pretext(drawn(pretext, 0))
    with pytest.raises(ValueError, match=r"train\.batch is 1; moco needs at least 2"):
        pretext(drawn(pretext, 0, 1))
    four = made(toy_images, tmp_path, bn_splits=4)
    with pytest.raises(ValueError, match=r"train\.batch gives 6 samples to bn_splits: 4; use a multiple"):
        four(drawn(four, 0, 6))
