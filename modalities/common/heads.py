"""Projectors and predictors: the small networks between an encoder and a loss, thrown away after training."""

import itertools
from typing import Literal

from torch import nn

Last = Literal["plain", "norm", "white"]


def mlp(*widths: int, norm: bool, last: Last) -> nn.Sequential:
    """Linear layers from one width to the next, ReLU between; with `norm` batch norm before each ReLU.

    What ends it: "plain" nothing more, "norm" batch norm, "white" batch norm without learned scale and shift. A layer
    before a batch norm has no bias, since the norm would take it away. Raises ValueError for a width below 1.
    """
    if min(widths) < 1:
        raise ValueError(
            f"a head has layers of {', '.join(map(str, widths))} numbers; use 1 or more for each width"
        )
    layers: list[nn.Module] = []
    for k, (narrow, wide) in enumerate(itertools.pairwise(widths)):
        inner = k < len(widths) - 2
        normed = norm if inner else last != "plain"
        layers.append(nn.Linear(narrow, wide, bias=not normed))
        if normed:
            layers.append(nn.BatchNorm1d(wide, affine=inner or last == "norm"))
        if inner:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
