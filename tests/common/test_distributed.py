"""Gathers and batch norm: two gloo processes against one with the joined batch."""

from pathlib import Path

import torch
from torch import Tensor, nn

from modalities.common import distributed
from modalities.common.info_nce import nt_xent
from tests.ranks import two_ranks


def whole() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, 4, 4, generator=draw), torch.randn(6, 3, generator=draw)


def work(rank: int, folder: Path) -> None:
    images, vectors = (x.chunk(2)[rank].clone().requires_grad_() for x in whole())
    norm = distributed.SyncBatchNorm(5)
    out = norm(images)
    torch.autograd.backward(out.pow(3).sum() * 0.5)
    first = nn.functional.normalize(vectors, dim=1)
    loss, accuracy = nt_xent(first, first.roll(1, 1), 0.3)
    torch.autograd.backward(loss)
    state = {"out": out.detach(), "images": images.grad, "vectors": vectors.grad, "loss": loss.detach()}
    state |= {"accuracy": accuracy, "mean": norm.running_mean, "var": norm.running_var}
    torch.save(state, folder / f"{rank}.pt")


def test_two_ranks_equal_one_in_values_and_gradients(tmp_path: Path) -> None:
    two_ranks(work, tmp_path)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]

    images, vectors = (x.clone().requires_grad_() for x in whole())
    norm = nn.BatchNorm2d(5)
    out = norm(images)
    torch.autograd.backward(out.pow(3).sum() * 0.5)
    first = nn.functional.normalize(vectors, dim=1)
    loss, accuracy = nt_xent(first, first.roll(1, 1), 0.3)
    torch.autograd.backward(loss)

    def joined(name: str) -> Tensor:
        return torch.cat([part[name] for part in parts])

    torch.testing.assert_close(joined("out"), out.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(joined("images"), images.grad, rtol=1e-3, atol=1e-4)
    # Each rank's loss is a mean over its own rows and DDP averages over ranks: half of the summed gradients.
    torch.testing.assert_close(joined("vectors") / 2, vectors.grad, rtol=1e-4, atol=1e-6)
    assert torch.allclose(sum(part["loss"] for part in parts) / 2, loss.detach())
    assert torch.allclose(sum(part["accuracy"] for part in parts) / 2, accuracy)
    for part in parts:
        torch.testing.assert_close(part["mean"], norm.running_mean)
        torch.testing.assert_close(part["var"], norm.running_var, rtol=1e-4, atol=1e-5)


def test_synchronised_keeps_parameters_and_buffers() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm1d(4, momentum=None)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    weights = {id(p) for p in net.parameters()}
    distributed.synchronised(net)
    assert {id(p) for p in net.parameters()} == weights
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert sum(isinstance(m, distributed.SyncBatchNorm) for m in net.modules()) == 2


def test_alone_every_gather_is_the_identity() -> None:
    x = torch.randn(3, 2)
    assert distributed.gather(x) is x and distributed.total(x) is x
    assert distributed.world() == 1 and distributed.rank() == 0
