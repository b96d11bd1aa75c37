"""What split-brain's two halves predict: of Lab, colours and lightness; of pictures with depth, HHA and Lab.

Zhang, Isola and Efros, CVPR 2017, arXiv:1611.09842. A pair knows the targets in a batch, what two predictions cost, and
what guessing would.

Departure: with depth the paper weighs the colours 200 times against L; here L weighs 1/200, so that the sum is of the
size of its other parts. Between halves that share nothing the ratio is all that counts.
N images, S side, Q cells of colour, h and w places.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.image.shared.colour_bins import Built, cross_entropy, pooled, typical
from modalities.image.shared.dense import weighted_mean
from modalities.image.shared.depth import centred

KNOWN = 0.99  # a place is judged where so much of its area has depth
PLAIN = 65.0  # the lightness at which colours alone are drawn


class LabPair(nn.Module):
    """From L the colours, from ab the lightness; one-hot classes or L2 on standardised values."""

    inputs = (1, 2)
    mean: Tensor  # (3,), of L, a and b
    std: Tensor

    def __init__(
        self, built: Built, *, loss: Literal["classes", "l2"], lightness_bins: int, temperature: float
    ) -> None:
        super().__init__()
        self.bins, self.stride, self.loss = built.bins, built.stride, loss
        self.lightness_bins, self.temperature = lightness_bins, temperature
        self.register_buffer("mean", built.mean)
        self.register_buffer("std", built.std)
        self.outs = (len(self.bins), lightness_bins) if loss == "classes" else (2, 1)

    def lab(self, batch: Batch) -> Tensor:
        """Area averages of Lab at the stride of the task, (N, 3, h, w)."""
        return pooled(to_lab(batch["image"]), self.stride)

    def forward(self, first: Tensor, second: Tensor, batch: Batch) -> dict[str, Tensor]:
        lab = self.lab(batch)
        ab, light = self.ab_cost(first, lab), self.lightness_cost(second, lab)
        return {"loss": ab + light, "ab_loss": ab, "lightness_loss": light, "error": self.error(first, lab)}

    def ab_cost(self, predicted: Tensor, lab: Tensor) -> Tensor:
        if self.loss == "l2":
            return (predicted - self.standardised(lab)[:, 1:]).square().sum(1).mean()
        return cross_entropy(predicted, *self.bins.code(lab[:, 1:], 1, 1.0)).mean()

    def lightness_cost(self, predicted: Tensor, lab: Tensor) -> Tensor:
        if self.loss == "l2":
            return (predicted - self.standardised(lab)[:, :1]).square().mean()
        return F.cross_entropy(predicted, self.lightness_class(lab))

    @torch.no_grad()
    def error(self, predicted: Tensor, lab: Tensor) -> Tensor:
        """Mean distance of the one colour that each prediction comes down to."""
        if self.loss == "classes":
            ab = self.bins.colours(predicted, self.temperature)
        else:
            ab = predicted * self.std[1:].view(1, 2, 1, 1) + self.mean[1:].view(1, 2, 1, 1)
        found: Tensor = (ab - lab[:, 1:]).norm(dim=1).mean()
        return found

    def standardised(self, lab: Tensor) -> Tensor:
        return (lab - self.mean.view(1, 3, 1, 1)) / self.std.view(1, 3, 1, 1)

    def lightness_class(self, lab: Tensor) -> Tensor:
        """(N, 3, h, w) -> (N, h, w), the number of the equal bin of L, 0 to 100, that each place is in."""
        return (lab[:, 0] * self.lightness_bins / 100).long().clamp(0, self.lightness_bins - 1)

    @torch.no_grad()
    def chance(self, batch: Batch) -> dict[str, Tensor]:
        """What the best guess without looking, the same at all places, would log on this batch."""
        lab = self.lab(batch)
        ab = lab[:, 1:].permute(0, 2, 3, 1).reshape(-1, 2)
        found = {"error": (ab - typical(ab)).norm(dim=1).mean()}
        if self.loss == "l2":
            spread = self.standardised(lab).var((0, 2, 3), correction=0)
            return found | {"ab_loss": spread[1:].sum(), "lightness_loss": spread[0]}
        cells = self.bins.code(lab[:, 1:], 1, 1.0)[0]
        return found | {"ab_loss": entropy(cells), "lightness_loss": entropy(self.lightness_class(lab))}

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        """What each half is shown and asked, for people."""
        lab, coarse = to_lab(batch["image"]), self.lab(batch)
        shown, asked = (
            to_rgb(torch.cat([torch.full_like(x[:, :1], PLAIN), x[:, 1:]], 1)) for x in (lab, coarse)
        )
        first = {"L shown": lab[:, :1] / 100, "ab asked": asked}
        return first | {"ab shown": shown, "L asked": coarse[:, :1] / 100, "picture": batch["image"]}


class DepthPair(LabPair):
    """From RGB the HHA of depth by L2, where it is known; from HHA the colours as classes and L by L2."""

    inputs = (3, 3)

    def __init__(self, built: Built, *, lightness_bins: int, temperature: float, ab_weight: float) -> None:
        super().__init__(built, loss="classes", lightness_bins=lightness_bins, temperature=temperature)
        self.ab_weight = ab_weight
        self.outs = (3, len(self.bins) + 1)

    def hha(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Area averages of centred HHA, (N, 3, h, w), and where all of the area has depth, (N, h, w)."""
        known = pooled(batch["known"][:, :1], self.stride)[:, 0] > KNOWN
        return pooled(centred(batch["hha"]), self.stride), known

    def forward(self, first: Tensor, second: Tensor, batch: Batch) -> dict[str, Tensor]:
        lab, (hha, known) = self.lab(batch), self.hha(batch)
        costs = {
            "hha_loss": weighted_mean((first - hha).square().sum(1), known.float()),
            "ab_loss": self.ab_cost(second[:, :-1], lab),
            "lightness_loss": self.lightness_cost(second[:, -1:], lab),
        }
        loss = costs["hha_loss"] + costs["ab_loss"] + costs["lightness_loss"] / self.ab_weight
        return {"loss": loss, **costs, "error": self.error(second[:, :-1], lab)}

    def lightness_cost(self, predicted: Tensor, lab: Tensor) -> Tensor:
        """In squared units of L, to which the paper's weight belongs; what is predicted is standardised."""
        return (self.std[0] * predicted[:, 0] + self.mean[0] - lab[:, 0]).square().mean()

    @torch.no_grad()
    def chance(self, batch: Batch) -> dict[str, Tensor]:
        hha, known = self.hha(batch)
        found = {"lightness_loss": self.lab(batch)[:, 0].var(correction=0)}
        found["hha_loss"] = hha.permute(0, 2, 3, 1)[known].var(0, correction=0).sum()
        return super().chance(batch) | found

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        hha, known = self.hha(batch)
        asked = (hha + 1) / 2 * known[:, None]  # black where nothing is asked
        first = {"RGB shown": batch["image"], "HHA asked": asked}
        return first | {"HHA shown": batch["hha"], "Lab asked": to_rgb(self.lab(batch))}


def entropy(labels: Tensor) -> Tensor:
    """Of the shares of these numbers, in nats: the cross-entropy of always guessing the shares."""
    shares = torch.bincount(labels.flatten()) / labels.numel()
    found: Tensor = -torch.special.xlogy(shares, shares).sum()
    return found
