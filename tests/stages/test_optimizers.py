"""Optimizers: a parameter that is forgotten goes on as if it were new, and its neighbours as if nothing had been."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages import optimizers

KEYS: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0, "momentum": 0.9, "betas": [0.9, 0.99]}


def steps(module: nn.Module, made: torch.optim.Optimizer, grads: list[Tensor]) -> None:
    for grad in grads:
        for parameter in module.parameters():
            parameter.grad = grad.clone()
        made.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lars"])
def test_a_forgotten_parameter_begins_anew_beside_one_that_goes_on(
    name: optimizers.Name, momentum: float
) -> None:
    keys = KEYS | {"momentum": momentum}
    grads = list(torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0)))
    both = nn.ParameterList([torch.ones(3, 3), torch.ones(3, 3)])
    made = optimizers.make(name, both, **keys)
    steps(both, made, grads[:3])
    optimizers.forget(made, both[0])
    new = nn.ParameterList([both[0].detach().clone()])
    steps(both, made, grads[3:])
    steps(new, optimizers.make(name, new, **keys), grads[3:])
    whole = nn.ParameterList([torch.ones(3, 3)])
    steps(whole, optimizers.make(name, whole, **keys), grads)
    assert torch.allclose(both[0], new[0]) and torch.equal(both[1], whole[0])
    if momentum or name.startswith("adam"):
        assert not torch.allclose(both[0], both[1])
