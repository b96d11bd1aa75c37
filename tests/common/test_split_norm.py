"""Split batch norm and shuffled samples, each against the plain thing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modalities.common.split_norm import SplitBatchNorm, shuffled, split


def normed(norm: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """What comes out, the gradient that goes in, and the state afterwards."""
    x = x.clone().requires_grad_()
    out = norm(x)
    (out * torch.linspace(-1, 2, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad, norm.state_dict()


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5, 4)])
def test_one_part_is_batch_norm(shape: tuple[int, ...]) -> None:
    plain = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    with torch.no_grad():
        plain.weight.uniform_()
        plain.bias.uniform_()
    parts = split(nn.Sequential(plain), 1)[0]
    assert isinstance(parts, SplitBatchNorm)
    fresh = type(plain)(3)
    fresh.load_state_dict(parts.state_dict())  # the names are those of batch norm
    x = torch.randn(shape) * 3 + 1
    for ours, theirs in zip(normed(parts, x), normed(fresh, x), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(parts.eval()(x), fresh.eval()(x))


def test_each_part_is_normed_alone_and_running_statistics_are_the_parts_mean() -> None:
    x = torch.randn(12, 3, 4, 4) * torch.arange(1.0, 13).view(-1, 1, 1, 1)
    ours = SplitBatchNorm(3, 4)
    out, gradient, state = normed(ours, x)
    parts = [nn.BatchNorm2d(3) for _ in range(4)]
    slow = torch.cat([part(piece) for part, piece in zip(parts, x.chunk(4), strict=True)])
    torch.testing.assert_close(out, slow)
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(part, name) for part in parts]).mean(0)
        torch.testing.assert_close(state[name], expected)
    assert int(state["num_batches_tracked"]) == 1
    # What happens in one part is no business of another.
    changed = x.clone()
    changed[:3] += 5 * torch.randn(3, 3, 4, 4)
    again, gradient_again, _ = normed(SplitBatchNorm(3, 4), changed)
    assert torch.equal(again[3:], out[3:]) and torch.equal(gradient_again[3:], gradient[3:])
    assert not torch.equal(again[:3], out[:3])


def test_every_batch_norm_in_a_network_is_split_and_its_parameters_are_kept() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()), nn.GroupNorm(2, 4))
    before = {name: id(value) for name, value in net.named_parameters()}
    split(net, 2)
    assert [type(m).__name__ for m in net.modules() if "Norm" in type(m).__name__] == [
        "SplitBatchNorm",
        "GroupNorm",
    ]
    assert {name: id(value) for name, value in net.named_parameters()} == before


@pytest.mark.parametrize("count", [6, 4, 1])
def test_a_batch_that_does_not_cut_into_parts_is_refused(count: int) -> None:
    with pytest.raises(
        ValueError, match=rf"train\.batch gives {count} samples to bn_splits: 4; use a multiple"
    ):
        SplitBatchNorm(3, 4)(torch.randn(count, 3))


def test_shuffled_samples_come_back_in_order() -> None:
    x = torch.arange(20.0).view(10, 2)
    seen: list[Tensor] = []

    def network(rows: Tensor) -> Tensor:
        seen.append(rows)
        return rows * 2

    torch.manual_seed(0)
    assert torch.equal(shuffled(network, x), 2 * x)
    assert not torch.equal(seen[0], x)
    assert torch.equal(seen[0].sort(0).values, x)


def test_shuffling_puts_a_sample_among_others_than_its_own_part() -> None:
    """The leak itself: in order, a constant added to a part vanishes in its norm; shuffled, it does not."""
    x = torch.randn(32, 3)
    x[:16] += 10
    norm = SplitBatchNorm(3, 2)
    torch.manual_seed(0)
    ordered, dealt = norm(x), shuffled(norm, x)
    assert float((ordered[:16].mean() - ordered[16:].mean()).detach().abs()) < 1e-5
    assert float((dealt[:16].mean() - dealt[16:].mean()).abs()) > 1
