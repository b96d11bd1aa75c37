"""Optimizers by name, with parameters grouped as all papers here ask: no weight decay on biases and norms."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Name = Literal["adamw", "adam", "sgd", "lars"]


class LARS(Optimizer):
    """SGD with momentum whose step is scaled, weight by weight, to a share of the weight's length.

    You, Gitman and Ginsburg 2017, arXiv:1708.03888, as in SimCLR and SwAV: parameters of one dimension (biases and
    norms) are neither scaled nor decayed.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float, trust: float = 1e-3
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step(weights, group)

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        steps = [p.grad.detach().clone() for p in weights if p.grad is not None]
        if group["weight_decay"]:
            torch._foreach_add_(steps, weights, alpha=group["weight_decay"])
        scaled = [k for k, p in enumerate(weights) if p.ndim > 1]
        if scaled:
            sizes = torch.stack(torch._foreach_norm([weights[k] for k in scaled]))
            pulls = torch.stack(torch._foreach_norm([steps[k] for k in scaled]))
            trust = torch.where(
                (sizes > 0) & (pulls > 0), group["trust"] * sizes / pulls, torch.ones_like(sizes)
            )
            torch._foreach_mul_([steps[k] for k in scaled], list(trust.unbind()))
        for p in weights:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        moving = [self.state[p]["momentum"] for p in weights]
        torch._foreach_mul_(moving, group["momentum"])
        torch._foreach_add_(moving, steps)
        torch._foreach_add_(weights, moving, alpha=-group["lr"])


def groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: decay only on two dimensions and more; `parameter.lr_scale`, where set, times `lr`."""
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            key = (parameter.ndim > 1, float(getattr(parameter, "lr_scale", 1.0)))
            found.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * scale,
            "base": lr * scale,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (decays, scale), parameters in found.items()
    ]


def forget(optimizer: Optimizer, parameter: nn.Parameter) -> None:
    """Go on with this parameter as if it had not been trained before."""
    momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
    if momentum is None:
        optimizer.state.pop(parameter, None)
    else:
        momentum.zero_()  # the same first step; SGD, fused, wants momentum of all parameters or of none


def make(
    name: Name, module: nn.Module, *, lr: float, weight_decay: float, momentum: float, betas: Sequence[float]
) -> Optimizer:
    """One optimizer over the parameters of a module that want gradients."""
    parts = groups(module, lr, weight_decay)
    if not parts:
        raise ValueError(f"{type(module).__name__} has no parameter to train; a player needs at least one")
    pair = (float(betas[0]), float(betas[1]))
    if name == "adamw":
        return torch.optim.AdamW(parts, betas=pair, fused=True)
    if name == "adam":
        return torch.optim.Adam(parts, betas=pair, fused=True)
    if name == "sgd":
        return torch.optim.SGD(parts, momentum=momentum, fused=True)
    if name == "lars":
        return LARS(parts, lr, momentum, weight_decay)
    raise ValueError(f"train.optimizer is {name}; use adamw, adam, sgd or lars")
