"""Context encoder: paint what is missing from what surrounds it.

Pathak, Krähenbühl, Donahue, Darrell and Efros, CVPR 2016, arXiv:1604.07379. `mask: central` hides the middle and asks
for a half by a half of the picture, of which a band is seen and weighs ten times, so that edges join; `block` hides
squares and `region` shapes, a quarter of the picture each. With `adversarial` above 0 a critic looks at the painted
half, or at the whole picture with its holes filled; never at the hole's surround alone, where it would find the seam.

Departures: a trunk of residual blocks, not AlexNet. Holes have the encoder's mean, which it norms to 0, where the
authors' code has its channels in another order. Shapes are of thresholded noise, where the paper takes them from
segmentations. Some pictures are shown whole and cost nothing, since those of downstream have no hole. The paper's
features are of reconstruction alone, the default.
N images, S side, D = encoder.dim, s side of the deepest map, P side of what is painted: S, or S/2 of the middle.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common import adversarial as play
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import holes, preview
from modalities.image.shared.dense import weighted_mean
from modalities.image.shared.upward import PictureCritic, Upward, deepest, doublings

JUDGED = 2000  # pictures that a blind guess is measured on
BAND = 10.0  # what a pixel of the band weighs
BLANK = 0.8  # grey, of what is not asked for in the preview


class ChannelWise(nn.Module):
    """A fully connected layer within each channel and none between them: (N, D, s, s) -> (N, D, s, s)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, side * side, side * side) / side)
        self.bias = nn.Parameter(torch.zeros(channels, side * side))

    def forward(self, x: Tensor) -> Tensor:
        return (torch.einsum("dpq,ndq->ndp", self.weight, x.flatten(2)) + self.bias).view_as(x)


class Painter(nn.Module):
    """From the deepest map (N, D, s, s) to a painted (N, 3, P, P) in [-1, 1]."""

    def __init__(self, channels: int, side: int, *, width: int, out: int, key: str) -> None:
        super().__init__()
        self.between = ChannelWise(channels, side)
        self.mix = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.up = Upward(width, channels=width, times=doublings(side, out, key))
        self.last = nn.Conv2d(self.up.out, 3, 3, padding=1)
        for part in (self.mix, self.last):
            play.normal_(part)

    def forward(self, deep: Tensor) -> Tensor:
        found: Tensor = self.last(self.up(self.mix(self.between(deep)))).float().tanh()
        return found


class Context(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        mask: Literal["central", "block", "region"],
        overlap: float,
        whole: float,
        adversarial: float,
        channels: int,
    ) -> None:
        super().__init__(encoder, corpus, built)
        band = round(overlap * encoder.side)
        for key, value, wrong, want in (
            ("mask", mask, mask not in ("central", "block", "region"), "central, block or region"),
            (
                "overlap",
                overlap,
                not 0 <= band < encoder.side // 4,
                "a share of encoder.side below a quarter",
            ),
            ("whole", whole, not 0 <= whole < 1, "a share of the pictures below 1"),
            ("adversarial", adversarial, not 0 <= adversarial < 1, "a share of the loss below 1, 0 for none"),
            ("channels", channels, channels < 1, "at least 1"),
        ):
            if wrong:
                raise ValueError(f"context.model.{key} is {value}; use {want}")
        self.mask, self.whole, self.adversarial = mask, whole, adversarial
        self.shapes = read(built, encoder.side) if mask == "region" else None
        self.middle, self.hidden = holes.middle(encoder.side, band)
        last, side = deepest(encoder, "context"), encoder.side
        self.out = side // 2 if mask == "central" else side
        self.painter = Painter(*last, width=channels, out=self.out, key="context")
        self.critic = PictureCritic(self.out, channels=channels) if adversarial else None

    @classmethod
    def build(cls, corpus: Images, out: Path, *, seed: int, shapes: int, cells: int) -> None:  # type: ignore[override]
        """Write `shapes` shapes of holes, cut from noise of `cells` by `cells`, a bit a pixel, to shapes.npy."""
        for key, value, least in (("shapes", shapes, 0), ("cells", cells, 2)):
            if value < least:
                raise ValueError(f"context.build.{key} is {value}; use at least {least}")
        np.save(out / "shapes.npy", holes.shapes(np.random.default_rng(seed), shapes, cells))

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        images = crop_flip(self.corpus, index, self.encoder.side, rng)
        hole = torch.from_numpy(self.hole(len(index), rng))
        shown = rng.random(len(index)) < self.whole
        hole[torch.from_numpy(shown)] = False
        return {"image": images, "hole": hole.unsqueeze(1)}

    def hole(self, count: int, rng: np.random.Generator) -> holes.Flags:
        """(count, S, S), true where nothing is seen."""
        side = self.encoder.side
        if self.shapes is not None:
            return holes.turned(self.shapes[rng.integers(len(self.shapes), size=count)], rng)
        if self.mask == "block":
            return holes.squares(rng, count, side)
        found = np.zeros((count, side, side), np.bool_)
        found[:, self.hidden, self.hidden] = True
        return found

    def shown(self, batch: Batch) -> Tensor:
        """What the encoder sees, (N, 3, S, S)."""
        return torch.where(batch["hole"], self.encoder.mean.view(1, 3, 1, 1), batch["image"])

    def asked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is to be painted, (N, 3, P, P) in [-1, 1], and what each pixel weighs, (N, 1, P, P)."""
        pictures, hole = 2 * batch["image"] - 1, batch["hole"].float()
        if self.mask != "central":
            return pictures, hole
        inside = (..., self.middle, self.middle)
        holed = batch["hole"].flatten(1).any(1).view(-1, 1, 1, 1)
        return pictures[inside], torch.where(holed, BAND + (1 - BAND) * hole[inside], 0.0)

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        pictures, weight = self.asked(batch)
        if player == 1:
            return self.judged(batch, pictures, weight)
        painted = self.painter(self.encoder.maps(self.shown(batch))[-1])
        found = {"reconstruction": reconstruction(painted, pictures, weight)}
        if self.critic is None:
            return {"loss": found["reconstruction"]} | found
        fooled = play.cross_entropy(play.fixed(self.critic, self.filled(painted, pictures, weight)), 1.0)
        found["adversarial"] = weighted_mean(fooled, holed(weight))
        a = self.adversarial
        return {"loss": (1 - a) * found["reconstruction"] + a * found["adversarial"]} | found

    def filled(self, painted: Tensor, pictures: Tensor, weight: Tensor) -> Tensor:
        """What the critic sees of a painting: the middle as painted, or the picture with its holes filled."""
        return painted if self.mask == "central" else torch.where(weight > 0, painted, pictures)

    def judged(self, batch: Batch, pictures: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """The critic's turn. Real and painted pass apart: batch norm would tell a mixed batch."""
        assert self.critic is not None
        with torch.no_grad():
            painted = self.painter(self.encoder.maps(self.shown(batch))[-1])
        real, made = self.critic(pictures), self.critic(self.filled(painted, pictures, weight))
        cost = play.cross_entropy(real, 1.0) + play.cross_entropy(made, 0.0)
        right = ((real > 0).float() + (made <= 0).float()) / 2
        counted = holed(weight)
        return {"loss": weighted_mean(cost, counted), "accuracy": weighted_mean(right, counted)}

    def players(self) -> list[nn.Module]:
        if self.critic is None:
            return [self]
        return [nn.ModuleList([self.encoder, self.painter]), self.critic]

    def chance(self) -> dict[str, float]:
        """`reconstruction` of the best single colour, on pictures drawn as in training."""
        rows = np.linspace(0, len(self.corpus) - 1, min(JUDGED, len(self.corpus))).astype(np.int64)
        pictures, weight = self.asked(self.batch(rows, np.random.default_rng(0)))
        colour = (weight * pictures).sum((0, 2, 3)) / weight.sum().clamp_min(1)
        guess = colour.view(1, 3, 1, 1).expand_as(pictures)
        found = {"reconstruction": float(reconstruction(guess, pictures, weight))}
        return found | ({"player1.accuracy": 0.5} if self.critic else {})

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        batch = self.batch(preview.some(self.corpus, rng), rng)
        batch["hole"] = torch.from_numpy(self.hole(len(batch["image"]), rng)).unsqueeze(1)  # no whole ones
        pictures, weight = self.asked(batch)
        asked = torch.where(weight > 0, pictures / 2 + 0.5, BLANK)
        if self.mask == "central":  # in its place
            room = self.encoder.side - self.out
            asked = F.pad(asked, (self.middle.start, room - self.middle.start) * 2, value=BLANK)
        preview.grid(out, {"picture": batch["image"], "shown": self.shown(batch), "asked": asked})


def reconstruction(painted: Tensor, pictures: Tensor, weight: Tensor) -> Tensor:
    """The mean squared error, by weight, over the joined batch: in units of [-1, 1]."""
    return weighted_mean((pictures - painted).square(), weight.expand_as(pictures))


def holed(weight: Tensor) -> Tensor:
    """1. for each picture that had a hole, (N,)."""
    return (weight.flatten(1).amax(1) > 0).float()


def read(built: Path, side: int) -> holes.Flags:
    """The shapes that `build` wrote, (n, S, S). Raises ValueError where there are none."""
    file = built / "shapes.npy"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no shapes; run `dvc repro` first")
    found = holes.unpacked(np.load(file), side)
    if not len(found):
        raise ValueError(
            "context.build.shapes is 0, but context.model.mask is region; use 1024, or another mask"
        )
    return found
