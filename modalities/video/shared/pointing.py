"""Pointing to where a colour comes from: similarity of places, the loss on it, and the encoder that gives the places.

Vondrick et al., ECCV 2018, arXiv:1806.09594. Colours are copied from reference places in proportion to
A_ij = exp(f_i·f_j / temperature) / sum_k exp(f_k·f_j / temperature), i and k over references, j over target places.
N clips, R reference places, P target places, E width of an embedding, K colours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Encoder
from modalities.common.distributed import unit
from modalities.image.networks.wrappers import Around

LAYERS = 5  # of convolutions over time


class Pointing(Around):
    """An encoder whose last map is an embedding of each place, made to be compared by inner products.

    Its vector is the inner encoder's. `width` numbers a place, by a 1x1 convolution on the inner encoder's last map.
    """

    def __init__(self, *, encoder: Encoder, width: int) -> None:
        super().__init__(encoder, width=width)
        self.embed = nn.Conv2d(_channels(encoder), width, 1)

    def maps(self, x: Tensor) -> list[Tensor]:
        found = self.encoder.maps(x)
        return [*found, self.embed(found[-1])]

    def seen(self, x: Tensor) -> Tensor:
        return x


@torch.no_grad()
def _channels(encoder: Encoder) -> int:
    """Of its last map. Leaves the running statistics of batch norm alone."""
    training, side = encoder.training, int(encoder.side)  # type: ignore[arg-type]
    try:
        return encoder.eval().maps(torch.zeros(1, 3, side, side))[-1].shape[1]
    except NotImplementedError:
        raise ValueError(
            "colorization points to places, but video.encoder.arch has no maps; use resnet18, 34 or 50"
        ) from None
    finally:
        encoder.train(training)


class Temporal(nn.Module):
    """Convolutions over places and time, (N, T, E, h, w) to the same shape; each place is told where it is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width + 2] + [width] * (LAYERS - 1)
        self.layers = nn.ModuleList(nn.Conv2d(3 * each, width, 3, padding=1) for each in widths)

    def forward(self, x: Tensor) -> Tensor:
        down, across = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[3:])
        place = torch.stack(torch.meshgrid(down, across, indexing="ij"))  # (2, h, w)
        x = torch.cat([x, place.expand(*x.shape[:2], -1, -1, -1)], 2)
        for k, layer in enumerate(self.layers):
            x = over_time(layer, x.relu() if k else x)
        return x


def over_time(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution of 3 x 3 x 3 over (N, T, C, h, w): in two dimensions, of each frame beside those around it.

    The same sums as nn.Conv3d's, whose weights have a rank that channels-last training has no layout for.
    """
    blank = torch.zeros_like(x[:, :1])
    around = torch.cat(
        [torch.cat([blank, x[:, :-1]], 1), x, torch.cat([x[:, 1:], blank], 1)], 2
    )  # (N, T, 3C, h, w)
    found: Tensor = layer(around.flatten(0, 1))
    return found.view(*x.shape[:2], *found.shape[1:])


def similarity(target: Tensor, reference: Tensor, temperature: float, cosine: bool) -> Tensor:
    """f·f / temperature of embeddings (N, P, E) and (N, R, E): (N, P, R), in float32 whatever autocast says."""
    with torch.autocast(target.device.type, enabled=False):
        target, reference = target.float(), reference.float()
        if cosine:
            target, reference = unit(target), unit(reference)
        return target @ reference.mT / temperature


def cost(similar: Tensor, reference: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """-log of the share that points to the right colour, (N, P), and where any reference has it, (N, P).

    `similar` is (N, P, R); colours are (N, R) and (N, P). Where no reference has a colour its cost is 0.
    """
    same = reference[:, None] == target[:, :, None]  # (N, P, R)
    there = same.any(2)
    counted = same | ~there.unsqueeze(2)
    right = similar.masked_fill(~counted, -torch.inf).logsumexp(2)
    return similar.logsumexp(2) - right, there


def copied(similar: Tensor, reference: Tensor, colours: int) -> Tensor:
    """How likely each of K colours is at each target place, (N, P, K): the colours of references (N, R), mixed."""
    return similar.softmax(2) @ F.one_hot(reference, colours).to(similar.dtype)
