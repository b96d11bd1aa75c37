"""Relative patch position: say which of its eight neighbours another patch of the image is.

Doersch, Gupta and Efros, ICCV 2015, arXiv:1505.05192. Patches lie on a grid with a gap and are jittered, so that no
edge runs on from one into the other; colour is dropped or projected, since lenses shift colours by an amount that tells
the place in the picture.
N images, G grids an image, C channels, P side of a patch in pixels, D = encoder.dim.

Sizes are shares of the stored picture's side: nothing changes with the corpus, where the paper scales every image to
one of several sizes. The grid keeps room for the jitter, so no patch is ever moved back into the picture. A patch is
shrunk to a share of its side (10 of 96 pixels in the paper). Its mean is taken out channel by channel, so that noise
in a dropped channel says nothing of the kept one's brightness. The encoder's batch norm keeps its learned scale, which
the paper's AlexNet had to give up.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.image import augment
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview
from modalities.image.shared.tiles import (
    drop_channels,
    framed,
    mosaic,
    project_out,
    shown,
    shrinking,
    standardised,
    tile_side,
)

Colour = Literal["drop", "project", "none"]
NEIGHBOURS = 8  # labels, row by row: 0 1 2 / 3 . 4 / 5 6 7
CENTRE = 4  # in a grid of nine
NOISE = 0.01  # of the spread of the channels that are kept
AXIS = (-1.0, 2.0, -1.0)  # green against magenta: what lenses shift
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9)


class Relative(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        grids: int,
        patch: float,
        gap: float,
        jitter: float,
        tile: float,
        shrunk: float,
        least: float,
        colour: Colour,
        dropped: list[int],
        hidden: int,
    ) -> None:
        super().__init__(encoder, corpus, built)
        whole = 3 * patch + 2 * gap + 2 * jitter
        for key, value, wrong, want in (
            ("grids", grids, grids < 1, "at least one grid an image"),
            ("patch", patch, patch <= 0, "a share of the picture's side above 0"),
            ("jitter", jitter, jitter <= 0, "a share of the picture's side above 0: edges that run on tell the answer"),
            ("gap", gap, gap < patch / 3, f"at least a third of patch ({patch}): edges that run on tell the answer"),
            ("gap", gap, gap < 2 * jitter, f"at least twice jitter ({jitter}), else patches overlap"),
            ("patch", patch, whole > 1.000001, f"less: with gap and jitter, three take {whole:.2f} of the picture"),
            ("shrunk", shrunk, not 0 <= shrunk <= 1, "a probability, 0 to 1"),
            ("least", least, not 0 < least <= 1, "a share of the patch's side, above 0 and up to 1"),
            ("colour", colour, colour not in ("drop", "project", "none"), "drop, project or none"),
            ("dropped", dropped, not dropped or not set(dropped) <= {1, 2}, "[2], [1] or [1, 2], of three channels"),
            ("hidden", hidden, hidden < 1, "at least 1"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"relative.model.{key} is {value}; use {want}")
        self.grids, self.shrunk, self.colour, self.dropped = grids, shrunk, colour, dropped
        self.tile = tile_side(tile, encoder, "relative.model.tile")
        self.jitter = max(1, round(jitter * corpus.side))
        self.gap = max(2 * self.jitter, round(gap * corpus.side))
        # What rounding adds to gaps and jitter is taken from the patches, so that the grid fits pictures of any side.
        room = corpus.side - 2 * (self.gap + self.jitter)
        self.patch = min(round(patch * corpus.side), room // 3)
        if self.patch < 3:
            raise ValueError(
                f"relative.model.patch is {patch}: {self.patch} pixels of pictures of {corpus.side}; raise it, or "
                "store larger pictures (image.ingest.side)"
            )
        self.shrinking = shrinking(max(1, round(least * self.patch)), self.patch, self.tile)
        self.head = nn.Sequential(
            nn.Linear(2 * encoder.dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, NEIGHBOURS),
        )

    def draw(self, index: Index, rng: np.random.Generator) -> tuple[Index, Index]:
        """Boxes of a centre and one of its neighbours, (N, G, 2, 4): top, left, height, width; and which, (N, G)."""
        shape = (len(index), self.grids)
        label = rng.integers(NEIGHBOURS, size=shape)
        place = np.stack([np.full(shape, CENTRE), label + (label >= CENTRE)], 2)  # (N, G, 2)
        step = self.patch + self.gap
        free = self.corpus.side - (2 * step + self.patch + 2 * self.jitter)
        origin = self.jitter + rng.integers(free + 1, size=(*shape, 1, 2))
        jitter = rng.integers(-self.jitter, self.jitter + 1, size=(*shape, 2, 2))
        corner = origin + step * np.stack([place // 3, place % 3], 3) + jitter
        return np.concatenate([corner, np.full_like(corner, self.patch)], 3), label

    def cut(self, index: Index, boxes: Index) -> Tensor:
        """Boxes (N, G, 2, 4) of these images as (2GN, 3, P, P)."""
        return augment.patches(self.corpus, np.repeat(index, 2 * self.grids), boxes.reshape(-1, 4), self.tile)

    def resampled(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """A share of the patches shrunk to fewer pixels and grown again: their blur and blocks tell nothing then."""
        which = np.flatnonzero(rng.random(len(patches)) < self.shrunk)
        matrices = self.shrinking[torch.from_numpy(rng.integers(len(self.shrinking), size=len(which)))]
        patches = patches.clone()
        patches[which] = matrices[:, None] @ patches[which] @ matrices[:, None].mT
        return patches

    def coloured(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """What is left of colour, (M, 3, P, P) -> the same shape. Dropped channels become noise around 0."""
        if self.colour == "none":
            return patches
        if self.colour == "project":
            return project_out(patches, AXIS)
        return drop_channels(patches, rng.choice(self.dropped, size=len(patches)), NOISE, rng)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        boxes, label = self.draw(index, rng)
        patches = self.coloured(self.resampled(self.cut(index, boxes), rng), rng)
        ready = standardised(patches, (-3, -2, -1)).view(*boxes.shape[:3], *patches.shape[1:])
        return {"patches": ready, "label": torch.from_numpy(label)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        patches, label = batch["patches"], batch["label"].flatten()  # (N, G, 2, C, P, P), (GN,)
        codes = self.encoder(shown(patches.flatten(0, 2), self.encoder))  # (2GN, D)
        first, second = codes.view(len(label), 2, -1).unbind(1)
        # Each pair both ways round, as in the paper: seen from its neighbour, the centre lies opposite.
        pairs = torch.cat([torch.cat([first, second], 1), torch.cat([second, first], 1)])  # (2GN, 2D)
        target = torch.cat([label, NEIGHBOURS - 1 - label])
        logits = self.head(pairs)
        accuracy = (logits.argmax(1) == target).float().mean()
        return {"loss": F.cross_entropy(logits, target), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / NEIGHBOURS}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        boxes, label = self.draw(index, rng)
        patches = self.cut(index, boxes)
        seen = standardised(self.coloured(self.resampled(patches, rng), rng), (-3, -2, -1))
        first, second = patches.view(len(index), -1, *patches.shape[1:])[:, :2].unbind(1)
        both = shown(seen, self.encoder).view(len(index), -1, *seen.shape[1:])[:, :2]
        answer = torch.full((len(index), 9, 3, 1, 1), 0.85)
        place = label[:, 0] + (label[:, 0] >= CENTRE)
        answer[:, CENTRE] = torch.tensor(RED).view(3, 1, 1)
        answer[np.arange(len(index)), place] = torch.tensor(BLUE).view(3, 1, 1)
        rows = {
            "image": framed(self.corpus, index, boxes[:, 0], [RED, BLUE]),
            "red": first,
            "blue": second,
            "red, seen": both[:, 0],
            "blue, seen": both[:, 1],
            "answer": mosaic(answer),
        }
        preview.grid(out, rows)
