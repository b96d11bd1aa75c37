"""From the rows of a grid of codes seen so far, pick the true code some rows further down: what CPC is trained by.

The network and the loss of van den Oord et al. 2018, arXiv:1807.03748, as the pseudo-code of Hénaff et al. 2020,
arXiv:1905.09272, writes them down, but with the mean over horizons for their sum.
N images, W ranks, D channels of the codes, P of targets and predictions, G rows and columns of the grid.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.common import distributed


class Causal(nn.Module):
    """One residual layer of the PixelCNN-like context network: row r sees rows r - 1 and r, three columns of each.

    Without batch norm: through its statistics later rows would reach earlier ones.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, (1, 3), padding=(0, 1)),
            nn.ZeroPad2d((0, 0, 1, 0)),  # on top alone
            nn.Conv2d(hidden, hidden, (2, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, dim, 1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        found: Tensor = codes + self.layers(codes)
        return found


class RowPrediction(nn.Module):
    """Context, targets and one linear prediction a horizon: the loss of codes (N, D, G, G), top to bottom."""

    def __init__(
        self, dim: int, *, layers: int, hidden: int, target: int, scale: float, horizons: Sequence[int]
    ) -> None:
        super().__init__()
        self.context = nn.Sequential(*[Causal(dim, hidden) for _ in range(layers)], nn.ReLU())
        self.target = nn.Conv2d(dim, target, 1)
        self.predict = nn.Conv2d(dim, target * len(horizons), 1)
        self.scale, self.horizons = scale, tuple(horizons)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the share of predictions whose true target is the most similar of all."""
        predictions = self.scale * self.predict(self.context(codes))
        return row_nce(predictions.chunk(len(self.horizons), 1), self.target(codes), self.horizons)


def row_nce(predictions: Sequence[Tensor], targets: Tensor, horizons: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each prediction over all W·N·G·G targets, those of its own image among them.

    `predictions` has one (N, P, G, G) a horizon; what row r predicts for horizon k is the target at row r + k of the
    same column, so the last k rows predict nothing. Targets are (N, P, G, G). Returns means over horizons of means
    over images and places: the loss, and the share whose true target has the largest logit.
    """
    n, _, rows, columns = targets.shape
    with torch.autocast(targets.device.type, enabled=False):  # bf16 is too coarse for thousands of negatives
        every = distributed.gather(_listed(targets))  # (W*N*G*G, P)
        place = torch.arange(n * rows * columns, device=targets.device).view(n, rows, columns)
        place = place + distributed.rank() * place.numel()
        losses, hits = [], []
        for k, predicted in zip(horizons, predictions, strict=True):
            label = place[:, k:].flatten()
            logits = _listed(predicted[:, :, : rows - k]) @ every.T  # (N*(G-k)*G, W*N*G*G)
            losses.append(F.cross_entropy(logits, label))
            hits.append((logits.argmax(1) == label).float().mean())
    return torch.stack(losses).mean(), torch.stack(hits).mean()


def _listed(grid: Tensor) -> Tensor:
    """(N, P, rows, columns) -> (N*rows*columns, P), image by image, row by row, in float32."""
    return grid.float().permute(0, 2, 3, 1).flatten(0, 2)
