"""The slow twin: what it averages, what it leaves alone, how its momentum goes."""

import math

import pytest
import torch
from torch import Tensor, nn

from modalities.common import ema


def weights(network: nn.Sequential) -> Tensor:
    found: Tensor = network.get_parameter("0.weight")
    return found


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_after_k_steps_the_twin_is_the_closed_form(momentum: float) -> None:
    student = net()
    teacher = ema.twin(student)
    first = weights(student).detach().clone()
    past = []
    for _ in range(5):
        with torch.no_grad():
            weights(student).add_(torch.randn(4, 3))
        past.append(weights(student).detach().clone())
        ema.update(teacher, student, momentum)
    k = len(past)
    expected = momentum**k * first
    for i, weight in enumerate(past, 1):
        expected = expected + (1 - momentum) * momentum ** (k - i) * weight
    torch.testing.assert_close(weights(teacher), expected)


def test_the_twin_starts_equal_shares_nothing_and_wants_no_gradient() -> None:
    student = net()
    teacher = ema.twin(student)
    for mine, its in zip(student.state_dict().values(), teacher.state_dict().values(), strict=True):
        assert torch.equal(mine, its) and mine.data_ptr() != its.data_ptr()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_buffers_follow_the_twins_own_forward_and_are_not_averaged() -> None:
    student = net()
    teacher = ema.twin(student)
    x = torch.randn(8, 3)
    teacher(x)
    seen = teacher.get_buffer("1.running_mean").clone()
    torch.testing.assert_close(seen, 0.1 * student[0](x).mean(0))
    student(100 * x)
    ema.update(teacher, student, 0.5)
    assert torch.equal(teacher.get_buffer("1.running_mean"), seen)


def test_momentum_goes_on_half_a_cosine() -> None:
    assert ema.cosine(0.996, 1.0, 0.0) == pytest.approx(0.996)
    assert ema.cosine(0.996, 1.0, 1.0) == 1.0
    assert ema.cosine(0.996, 1.0, 0.5) == pytest.approx(0.998)
    assert ema.cosine(0.996, 1.0, 0.3) == pytest.approx(1 - 0.004 * (math.cos(math.pi * 0.3) + 1) / 2)
    assert all(ema.cosine(0.99, 0.99, p) == pytest.approx(0.99) for p in (0.0, 0.4, 1.0))


def test_networks_that_are_no_twins_are_refused() -> None:
    with pytest.raises(ValueError, match="the teacher has 2 parameters, the student 4: not twins"):
        ema.update(net()[0], net(), 0.5)
