"""SwAV: codes of large views alone, predicted from all other views; prototypes and queue as the paper has them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Batch
from modalities.common.queue import Queue
from modalities.common.sinkhorn import sinkhorn
from modalities.image.corpus import Images
from modalities.image.encoders import encoder
from modalities.image.pretexts import swav
from modalities.image.pretexts.swav import SwAV, swapped
from modalities.image.shared import multicrop
from stages import loop
from tests.common.test_sinkhorn import slow
from tests.conftest import params, pictures, train_keys
from tests.ranks import two_ranks
from tests.test_contract import share

MODEL = params()["image"]["pretexts"]["swav"]["model"]
CROPS = MODEL["crops"] | {"count": 2}
SMALL = {"hidden": 32, "dim": 16, "prototypes": 12, "epsilon": 0.05, "crops": CROPS}
TOY = {"model": SMALL | {"queue": 40, "queue_from": 0.1, "frozen_until": 0.2}}


def made(corpus: Images, folder: Path, **changes: Any) -> SwAV:
    torch.manual_seed(0)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    return SwAV(trunk, corpus, folder, **(MODEL | SMALL | changes))


def drawn(pretext: SwAV, start: int, count: int = 8) -> Batch:
    return pretext.batch(np.arange(start, start + count), np.random.default_rng(start))


@torch.no_grad()
def projections(pretext: SwAV, batch: Batch) -> Tensor:
    """(V, N, P), without a trace in the statistics of batch norm."""
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    vectors = multicrop.encoded(pretext.encoder, batch)
    found = F.normalize(pretext.head(vectors.flatten(0, 1)), dim=1).view(*vectors.shape[:2], -1)
    pretext.load_state_dict(before)
    return found


def queue(pretext: SwAV, view: int) -> Queue:
    found = pretext.queues[view]
    assert isinstance(found, Queue)
    return found


def by_loops(z: Tensor, prototypes: Tensor, temperature: float, past: list[Tensor]) -> float:
    """The paper's loss, one picture and one pair of views at a time."""
    views, count, _ = z.shape
    loss = 0.0
    for s in range(2):
        codes = slow(torch.cat([z[s], past[s]]) @ prototypes.T, 0.05, 3)[:count]
        for v in range(views):
            for n in range(count):
                logits = z[v, n] @ prototypes.T / temperature
                share = (logits.exp() / logits.exp().sum()).double().numpy()
                loss -= (codes[n] * np.log(share)).sum() / count / (views - 1) / 2 if v != s else 0.0
    return loss


@pytest.mark.parametrize("count", [0, 2])
def test_the_loss_is_the_papers(count: int, toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, crops=CROPS | {"count": count})
    batch = drawn(pretext, 0)
    z, nothing = projections(pretext, batch), torch.zeros(0, 16)
    assert len(z) == 2 + count
    expected = by_loops(z, pretext.prototypes.detach(), 0.1, [nothing, nothing])
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(expected, rel=1e-4)


def test_exchanging_the_large_views_leaves_the_loss(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    batch = drawn(pretext, 0)
    one = pretext(batch)["loss"]
    torch.testing.assert_close(pretext(batch | {"views": batch["views"].flip(0)})["loss"], one)


def test_small_views_make_no_codes_and_codes_get_no_gradient(
    toy_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def spy(scores: Tensor, **keys: Any) -> Tensor:
        seen.append(scores)
        return sinkhorn(scores, **keys)

    monkeypatch.setattr(swav, "sinkhorn", spy)
    pretext = made(toy_images, tmp_path)
    batch = drawn(pretext, 0)
    z = projections(pretext, batch)
    pretext(batch)
    assert len(seen) == 2 and not any(scores.requires_grad for scores in seen)
    for scores, view in zip(seen, z[:2], strict=True):
        torch.testing.assert_close(scores, view @ pretext.prototypes.detach().T)


def test_a_view_that_answers_the_code_is_counted() -> None:
    codes = [F.one_hot(torch.tensor([0, 1, 2]), 4).float()] * 2
    right, wrong = 10 * codes[0], 10 * codes[0].roll(1, 0)
    loss, accuracy = swapped(torch.stack([right, right]), codes)
    assert accuracy == 1 and float(loss) == pytest.approx(np.log(1 + 3 * np.exp(-10)), abs=1e-6)
    assert swapped(torch.stack([right, right, wrong]), codes)[1] == 0.5
    alike, _ = swapped(torch.zeros(3, 3, 4), codes)
    assert float(alike) == pytest.approx(np.log(4))  # what a collapsed network pays


def test_prototypes_keep_their_direction_while_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for until, moves in ((1.0, False), (0.5, True)):
        pretext = made(pictures(48, 20), tmp_path, frozen_until=until)
        before = pretext.prototypes.detach().clone()
        keys = train_keys(samples=32, weight_decay=0.1, optimizer="adamw")
        loop.fit(pretext, seed=0, scratch=tmp_path / "scratch", label="toy", **keys)
        after = pretext.prototypes.detach()
        torch.testing.assert_close(after.norm(dim=1), torch.ones(12))
        assert torch.allclose(before, after, atol=1e-6) != moves
        assert float(pretext.progress) == 1


def test_each_large_views_queue_holds_its_last_projections(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, queue=20)  # 8 a step: the third wraps
    past: list[Tensor] = []
    for step in range(4):
        batch = drawn(pretext, 8 * step)
        past.append(projections(pretext, batch))
        pretext(batch)
        for view in range(2):
            pushed = torch.cat([z[view] for z in past])[-20:]
            mine = queue(pretext, view)
            torch.testing.assert_close(mine.vectors.roll(-int(mine.pointer), 0)[-len(pushed) :], pushed)


@pytest.mark.parametrize(("progress", "steps", "used"), [(0.5, 2, True), (0.5, 1, False), (0.1, 2, False)])
def test_the_queue_counts_from_its_mark_once_full(
    progress: float, steps: int, used: bool, toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(toy_images, tmp_path, queue=16, queue_from=0.2, frozen_until=0.0)
    for step in range(steps):
        pretext(drawn(pretext, 8 * step))
    pretext.prototypes.data.copy_(pretext.prototypes.data.roll(1, 1))  # past scores must be of these
    pretext.after_step(progress)
    batch = drawn(pretext, 24)
    z, nothing = projections(pretext, batch), torch.zeros(0, 16)
    past = [queue(pretext, view).read() if used else nothing for view in range(2)]
    expected = by_loops(z, pretext.prototypes.detach(), 0.1, past)
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(expected, rel=1e-4)


def test_judging_changes_no_state(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, queue=16).eval()
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    pretext(drawn(pretext, 0))
    assert all(torch.equal(value, before[name]) for name, value in pretext.state_dict().items())
    assert pretext.chance() == {"accuracy": pytest.approx(1 / 12)}


def stepped(folder: Path, rank: int, world: int) -> dict[str, Tensor]:
    """State and losses after four steps over joined batches of eight; the queue is used from the third on."""
    corpus = pictures(48, 20)
    pretext = made(corpus, folder, queue=15, queue_from=0.0, frozen_until=0.3).train()
    module = loop.parallel(pretext, 1, torch.device("cpu"))
    optimizer = torch.optim.SGD(pretext.parameters(), 1e-3)
    losses = []
    for step in range(4):
        pretext.zero_grad()
        loss = module(share(rank, drawn(pretext, 8 * step), world))["loss"]
        torch.autograd.backward(loss)
        optimizer.step()
        pretext.after_step((step + 1) / 4)
        losses.append(loss.detach())
    return {"losses": torch.stack(losses)} | {n: v.clone() for n, v in pretext.state_dict().items()}


def one_rank(rank: int, folder: Path) -> None:
    torch.save(stepped(folder, rank, 2), folder / f"{rank}.pt")


def test_two_processes_balance_over_all_samples_and_past_ones(tmp_path: Path) -> None:
    two_ranks(one_rank, tmp_path)
    one = stepped(tmp_path, 0, 1)
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close((two[0]["losses"] + two[1]["losses"]) / 2, one["losses"], rtol=1e-4, atol=1e-5)
    for name in one.keys() - {"losses"}:
        assert torch.equal(two[0][name], two[1][name]), f"{name} differs between ranks"
        torch.testing.assert_close(two[0][name], one[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": 49}, r"swav\.model\.prototypes is 49; use 2 to 48, the pictures"),
        ({"prototypes": 1}, r"swav\.model\.prototypes is 1; use 2"),
        ({"temperature": 0.0}, r"swav\.model\.temperature is 0\.0; use a positive"),
        ({"epsilon": -0.1}, r"swav\.model\.epsilon is -0\.1; use a positive"),
        ({"frozen_until": 2}, r"swav\.model\.frozen_until is 2; use a share of the run"),
        ({"queue_from": -1}, r"swav\.model\.queue_from is -1; use a share of the run"),
        ({"rounds": 0}, r"swav\.model\.rounds is 0; use at least 1"),
        ({"queue": -1}, r"swav\.model\.queue is -1; use the number"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tmp_path, **changes)
