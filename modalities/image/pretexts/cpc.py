"""CPC: from the rows of patches seen so far, pick the true patch further down among all patches of the batch.

Van den Oord, Li and Vinyals 2018, arXiv:1807.03748.
N images, C channels, P side of a patch in pixels, G rows and columns of the grid of patches, D = encoder.dim.

The encoder only ever sees patches, and has no batch norm: through its statistics patches would tell each other what
they are. What is exported cuts a picture into the same grid and means the codes. Departures: whole pictures are moved
under a reflected border, where the paper crops 256 of 300 pixels; the network is the shared one, not a ResNet-v2-101;
the first horizon is one whose patches share no pixel with the last row seen, which the paper's overlap does. What the
paper leaves open is as in the pseudo-code of CPC v2.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed
from modalities.image import augment
from modalities.image.corpus import Images
from modalities.image.encoders import Gray, ImageEncoder, Norm, PatchGrid
from modalities.image.shared import preview
from modalities.image.shared.row_prediction import RowPrediction

BLANK, ASKED = 0.85, (0.1, 0.2, 0.9)  # colours of the preview


class CPC(Pretext):
    corpus: Images
    encoder: Gray | PatchGrid
    name = "cpc"  # of the block that errors speak of

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        patch: float,
        stride: float,
        inner: float,
        shift: float,
        gray: bool,
        norm: Norm,
        directions: int,
        ignore: int,
        steps: int,
        layers: int,
        hidden: int,
        target: int,
        scale: float,
    ) -> None:
        super().__init__(encoder, corpus, built)
        size, apart = round(patch * encoder.side), round(stride * encoder.side)
        rows = (encoder.side - size) // max(apart, 1) + 1
        least = -(-size // max(apart, 1)) - 1
        for key, value, wrong, want in (
            ("patch", patch, not 4 <= size <= encoder.side, "a share of encoder.side that gives at least 4 pixels"),
            ("stride", stride, not 0 < apart <= size, f"a share of encoder.side above 0, up to patch ({patch})"),
            ("inner", inner, not 0 < inner <= 1, "a share of the patch's side, above 0 and up to 1"),
            ("shift", shift, not 0 <= shift <= 0.5, "a share of the picture's side, 0 to 0.5"),
            ("norm", norm, norm == "batch", "layer, group or none: batch norm lets patches see each other"),
            ("norm", norm, "norm" not in encoder.spec, "a ResNet (image.encoder.arch): other networks keep their norm"),
            ("directions", directions, directions not in (1, 2, 4), "1 (down), 2 (and up) or 4 (and sideways)"),
            ("ignore", ignore, ignore < least, f"at least {least}: nearer rows share pixels with the last one seen"),
            ("steps", steps, not 1 <= steps < rows - ignore, f"1 up to {rows - 1 - ignore}: there are {rows} rows"),
            ("layers", layers, layers < 1, "at least 1"),
            ("hidden", hidden, hidden < 1, "at least 1"),
            ("target", target, target < 1, "at least 1"),
            ("scale", scale, scale <= 0, "a positive number, such as 0.1"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"{self.name}.model.{key} is {value}; use {want}")
        self.inner, self.shift, self.mean = round(inner * size), round(shift * corpus.side), encoder.mean
        grid = PatchGrid(encoder=encoder.like(norm=norm), patch=size, stride=apart)
        self.encoder = Gray(encoder=grid) if gray else grid
        self.turns = [way * 4 // directions for way in range(directions)]
        horizons = range(ignore + 1, ignore + steps + 1)
        self.ways = nn.ModuleList(
            RowPrediction(
                encoder.dim, layers=layers, hidden=hidden, target=target, scale=scale, horizons=horizons
            )
            for _ in self.turns
        )

    @property
    def grid(self) -> PatchGrid:
        """What cuts and encodes, without what takes colour away before."""
        inside = self.encoder.encoder if isinstance(self.encoder, Gray) else self.encoder
        assert isinstance(inside, PatchGrid)
        return inside

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        boxes = augment.shift_boxes(rng, len(index), self.corpus.side, self.shift, 1)
        draws = augment.plain(boxes, rng.random(len(index)) < 0.5)
        images = augment.render(self.corpus, index, draws, self.encoder.side)
        if isinstance(self.encoder, Gray):
            images = self.encoder.seen(images)
        cut = self.grid.grid(images)  # (N, G, G, C, P, P)
        return {"patches": self.changed(cut.flatten(0, 2), rng).view(cut.shape)}

    def changed(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """Of each patch (M, C, P, P) a random part of `inner` pixels, framed to P by what is normalised to 0."""
        room = patches.shape[-1] - self.inner
        if not room:
            return patches
        start = torch.from_numpy(rng.integers(room + 1, size=(2, len(patches), 1)))
        down, across = start + torch.arange(self.inner)  # each (M, inner)
        rows = torch.arange(len(patches))[:, None, None]
        part = patches[rows, :, down[:, :, None], across[:, None]].permute(0, 3, 1, 2)
        return self.framed(part, room // 2, room - room // 2)

    def framed(self, part: Tensor, before: int, after: int) -> Tensor:
        mean = self.mean.view(1, -1, 1, 1)
        return F.pad(part - mean, (before, after, before, after)) + mean

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        patches = batch["patches"]  # (N, G, G, C, P, P)
        n, rows, columns = patches.shape[:3]
        codes = self.grid.encoder(patches.flatten(0, 2)).view(n, rows, columns, -1).permute(0, 3, 1, 2)
        # Every way is down in a grid that has been turned. Each has its own context, so none can learn to look back.
        found = [way(codes.rot90(turn, (2, 3))) for way, turn in zip(self.ways, self.turns, strict=True)]
        loss, accuracy = (torch.stack(part).mean() for part in zip(*found, strict=True))
        chance = loss.new_tensor(1 / (n * rows * columns * distributed.world()))
        return {"loss": loss, "accuracy": accuracy, "accuracy.chance": chance}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        patches = self.batch(index, rng)["patches"]  # (n, G, G, C, P, P)
        count, rows, columns = patches.shape[:3]
        way = self.ways[0]
        assert isinstance(way, RowPrediction)
        ahead, column = way.horizons[0], columns // 2
        seen = rows - way.horizons[-1]
        given = patches.clone()
        given[:, seen:] = BLANK
        given[:, seen - 1 + ahead, column] = torch.tensor(ASKED).view(3, 1, 1)
        true = patches[:, seen - 1 + ahead, column]
        elsewhere = rng.permutation(rows * columns - 1)[:count]
        preview.grid(
            out,
            {
                "image": self.grid.encoder.read(self.corpus, index),
                "patches": mosaic(patches),
                "given": mosaic(given),
                "blue is": true,
                "not (others)": true.roll(1, 0),
                "not (same)": patches.flatten(1, 2)[torch.arange(count), torch.from_numpy(elsewhere)],
            },
        )


def mosaic(patches: Tensor) -> Tensor:
    """For people: the patches (n, G, G, C, P, P) of each picture side by side, apart, as (n, C, H, H)."""
    n, rows, columns = patches.shape[:3]
    cell = preview.TILE // rows
    large = F.interpolate(patches.flatten(0, 2), size=cell - 1, mode="nearest-exact")
    apart = F.pad(large, (0, 1, 0, 1), value=1.0).view(n, rows, columns, -1, cell, cell)
    whole = apart.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    rest = preview.TILE - rows * cell
    return F.pad(whole, (0, rest, 0, rest), value=1.0)
