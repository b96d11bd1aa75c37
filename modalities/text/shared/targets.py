"""Cross-entropy over the places that are asked, each with one weight, whatever row or rank it is in.

N rows, T places, V entries; -1 stands where nothing is asked.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.common import distributed

NONE = -1  # no id: a pad's own id would not do where the pad is asked for


def share(count: Tensor) -> Tensor:
    """What a sum over this rank's places is divided by, given their number: this rank's share of all ranks' places."""
    return (distributed.total(count.float()) / distributed.world()).clamp_min(1)


def scored(logits: Tensor, target: Tensor, *, smoothing: float) -> dict[str, Tensor]:
    """{"loss", "accuracy"} of scores (N, T, V) for targets (N, T), means over what is asked on all ranks.

    With `smoothing` that share of the target goes evenly to all entries (Szegedy et al. 2016, arXiv:1512.00567).
    """
    flat, wanted = logits.flatten(0, -2).float(), target.flatten()
    count = share((target != NONE).sum())
    loss = (
        F.cross_entropy(flat, wanted, ignore_index=NONE, reduction="sum", label_smoothing=smoothing) / count
    )
    with torch.no_grad():
        right = (flat.argmax(1) == wanted).sum() / count
    return {"loss": loss, "accuracy": right}
