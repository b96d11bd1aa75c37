"""Two that play against each other: a critic tells made from real, a maker is paid for being taken as real.

Goodfellow et al. 2014, arXiv:1406.2661, the maker's loss in its non-saturating form. A critic's answer is a logit, of
"real". All losses are float32 whatever autocast says, and are means, so that halves of a batch average to the whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase


def cross_entropy(logits: Tensor, real: float) -> Tensor:
    """What logits cost, each, where the truth is real with this probability: 1, 0, or .9 for smooth labels."""
    logits = logits.float()
    return F.softplus(-logits) * real + F.softplus(logits) * (1 - real)


def critic_loss(real: Tensor, made: Tensor, smooth: float = 1.0) -> Tensor:
    """The sum of both binary cross-entropies; `smooth` is what real ones are called, on one side only
    (Salimans et al. 2016, arXiv:1606.03498)."""
    return cross_entropy(real, smooth).mean() + cross_entropy(made, 0.0).mean()


def accuracy(real: Tensor, made: Tensor) -> Tensor:
    """How often the critic is right; chance is one half."""
    return ((real > 0).float().mean() + (made <= 0).float().mean()) / 2


def fixed(module: nn.Module, *args: Any) -> Any:
    """`module(*args)` with its weights as constants: gradients pass through to what it is shown, and none stay."""
    constants = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return functional_call(module, constants, args)


@contextmanager
def unremembered(module: nn.Module) -> Iterator[None]:
    """Batch norms norm by their batch as ever, but keep their running statistics as they are.

    What is made and what is real are normed apart. Downstream shows real pictures, so only these are remembered.
    """
    norms = [m for m in module.modules() if isinstance(m, _NormBase)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def penalty(critic: nn.Module, real: Tensor) -> Tensor:
    """R1: the mean squared gradient of the critic's answer to real pictures (N, ...), half of it.

    Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406. In evaluation mode, so that an answer depends on its own
    picture alone, as the gradient supposes.
    """
    training = critic.training
    critic.eval()
    try:
        with torch.enable_grad():
            shown = real.detach().requires_grad_()
            (slope,) = torch.autograd.grad(critic(shown).float().sum(), shown, create_graph=True)
    finally:
        critic.train(training)
    return slope.float().square().flatten(1).sum(1).mean() / 2


def normal_(module: nn.Module) -> None:
    """Weights of convolutions and linear layers from N(0, .02), biases 0 (DCGAN, Radford et al., arXiv:1511.06434)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
