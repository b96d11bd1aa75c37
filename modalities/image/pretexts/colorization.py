"""Colorization: paint a picture from its lightness.

Zhang, Isola and Efros, ECCV 2016, arXiv:1603.08511. The ab channels of Lab at a stride of the picture, as classes of
colour (cells of the ab plane) or as numbers (L2, which averages what is plausible to grey). The encoder sees L alone,
in training and ever after. Soft, rebalanced targets, for vivid pictures, are the paper's; plain ones, better for
features in its sequel (arXiv:1611.09842), the default. What a random crop shows is averaged by area; no colour is
jittered. Grey pictures are left out and counted by `build`.

Departures: the trunk is the encoder of all methods with a small head, not a dilated VGG, so the result compares with
theirs; the cells are those that sRGB touches, not 313.
N images, S side, Q cells, K of them in a soft code, h and w places.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, Lightness
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.image.shared import colour_bins, preview
from modalities.image.shared.colour_bins import Built, cross_entropy, pooled
from modalities.image.shared.dense import Dense, places, weighted_mean

JUDGED = 2000  # pictures that a blind guess is measured on
FAR = 110.0  # what ab reaches, by which L2 is scaled


class Colorization(Pretext):
    corpus: Images
    encoder: Lightness

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        loss: Literal["l2", "classes"],
        soft: bool,
        rebalance: bool,
        neighbours: int,
        sigma: float,
        temperature: float,
        channels: int,
    ) -> None:
        found = Built.load(built)
        super().__init__(Lightness(encoder=encoder), corpus.take(found.rows), built)
        _check(loss, soft, rebalance, neighbours, sigma, temperature, len(found.bins))
        self.bins, self.stride = found.bins, found.stride
        self.loss, self.rebalance, self.temperature = loss, rebalance, temperature
        self.neighbours, self.sigma = neighbours if soft else 1, sigma
        self.head = Dense(
            self.encoder,
            inputs=3,
            channels=channels,
            out=2 if loss == "l2" else len(self.bins),
            places=places(encoder.side, self.stride, "colorization.build.stride"),
            key="colorization.model",
        )

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Images,
        out: Path,
        *,
        seed: int,
        step: float,
        smoothing: float,
        uniform: float,
        least_chroma: float,
        stride: int,
    ) -> None:
        keys = {"step": step, "smoothing": smoothing, "uniform": uniform}
        colour_bins.write(
            corpus, out, method="colorization", least_chroma=least_chroma, stride=stride, **keys
        )

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"image": crop_flip(self.corpus, index, self.encoder.side, rng)}

    def target(self, images: Tensor) -> Tensor:
        """The ab of these pictures at the stride of the task, (N, 2, h, w)."""
        return pooled(to_lab(images)[:, 1:], self.stride)

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        ab = self.target(batch["image"])
        predicted = self.head(self.encoder.maps(batch["image"])).float()
        error = (self.painted(predicted.detach()) - ab).norm(dim=1).mean()
        return {"loss": self.cost(predicted, ab), "error": error}

    def cost(self, predicted: Tensor, ab: Tensor) -> Tensor:
        """What a prediction, (N, Q or 2, h, w), costs where these are the colours, (N, 2, h, w)."""
        if self.loss == "l2":
            return (predicted - ab / FAR).square().sum(1).mean()
        index, share = self.bins.code(ab, self.neighbours, self.sigma)
        each = cross_entropy(predicted, index, share)
        # A place weighs what its nearest cell does; by the colours of the corpus, not of the batch.
        return weighted_mean(each, self.bins.weights[index[:, 0]]) if self.rebalance else each.mean()

    def painted(self, predicted: Tensor) -> Tensor:
        """The one colour that a prediction comes down to, (N, 2, h, w)."""
        return predicted * FAR if self.loss == "l2" else self.bins.colours(predicted, self.temperature)

    def chance(self) -> dict[str, float]:
        """`error` of the best single colour for all places, on pictures drawn as in training."""
        rows = np.linspace(0, len(self.corpus) - 1, min(JUDGED, len(self.corpus))).astype(np.int64)
        images = self.batch(rows, np.random.default_rng(0))["image"]
        ab = self.target(images).permute(0, 2, 3, 1).reshape(-1, 2)
        return {"error": float((ab - colour_bins.typical(ab)).norm(dim=1).mean())}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        images = self.batch(preview.some(self.corpus, rng), rng)["image"]
        lab, ab = to_lab(images), self.target(images)
        if self.loss == "classes":
            index, _ = self.bins.code(ab, 1, self.sigma)
            ab = self.bins.centres.to(ab)[index[:, 0]].permute(0, 3, 1, 2)
        coarse = torch.cat([pooled(lab[:, :1], self.stride), ab], 1)
        over = torch.cat([lab[:, :1], F.interpolate(ab, size=images.shape[-2:], mode="bilinear")], 1)
        rows = {"shown": lab[:, :1] / 100, "asked": to_rgb(coarse), "both": to_rgb(over), "picture": images}
        preview.grid(out, rows)


def _check(
    loss: Any, soft: bool, rebalance: bool, neighbours: int, sigma: float, temperature: float, bins: int
) -> None:
    """Raise ValueError, naming the key, for settings that make no task."""
    key = "colorization.model"
    if loss not in ("l2", "classes"):
        raise ValueError(f"{key}.loss is {loss}; use l2 or classes")
    if loss == "l2" and (soft or rebalance):
        name = "soft" if soft else "rebalance"
        raise ValueError(
            f"{key}.{name} is true, which l2 has no use for; set it to false, or loss to classes"
        )
    if not 1 <= neighbours <= bins:
        raise ValueError(f"{key}.neighbours is {neighbours}; use 1 to {bins}, the cells that there are")
    for name, value in (("sigma", sigma), ("temperature", temperature)):
        if value <= 0:
            raise ValueError(f"{key}.{name} is {value}; use a positive number")
