"""Jigsaw: nine tiles of an image lie in a permuted order; name the permutation.

Noroozi and Favaro, ECCV 2016, arXiv:1603.09246. Permutations are chosen greedily for Hamming distance, as there.
N images, T = 9 tiles, K permutations, C channels, P side of a tile in pixels, D = encoder.dim.

Sizes are shares, so that they hold for pictures of any side; pixels are those of the store, which is cut at its own
resolution and only then resized to what the encoder eats. Colour channels are moved against each other tile by tile,
in whole pixels; a tile and the room for this lie inside its cell, so no shift reaches over a border.
The paper's network (AlexNet, 4,096 units) gives way to the shared encoder and a head of a few hundred thousand weights.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common.permutations import distances, far_apart
from modalities.image import augment
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview
from modalities.image.shared.tiles import framed, mosaic, resizing, shown, standardised, tile_side

GRID = 3
TILES = GRID * GRID
RED = (0.9, 0.1, 0.1)


def read(built: Path) -> Index:
    """The permutations that `build` wrote, (K, T)."""
    import pyarrow.parquet as pq

    file = built / "permutations.parquet"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no permutations; run `dvc repro` first")
    return np.stack([column.to_numpy() for column in pq.read_table(file).columns], 1).astype(np.int64)


class Jigsaw(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        crop: float,
        cut: float,
        tile: float,
        shift: float,
        gray: float,
        code: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__(encoder, corpus, built)
        for key, value, wrong, want in (
            ("crop", crop, not 0 < crop <= 1, "a share of the picture's side, above 0 and up to 1"),
            ("cut", cut, not 0 < cut < 1, "a share of the cell below 1: without gaps edges tell the answer"),
            ("shift", shift, not 0 <= shift < 1, "a share of the picture's side, 0 for none"),
            ("gray", gray, not 0 <= gray <= 1, "a probability, 0 to 1"),
            ("code", code, code < 1, "at least 1"),
            ("hidden", hidden, hidden < 1, "at least 1"),
            ("dropout", dropout, not 0 <= dropout < 1, "a probability below 1, 0 for none"),
        ):
            if wrong:
                raise ValueError(f"jigsaw.model.{key} is {value}; use {want}")
        self.tile = tile_side(tile, encoder, "jigsaw.model.tile")
        self.cell = int(crop * corpus.side + 1e-6) // GRID
        self.cut = round(cut * self.cell)
        self.shift = round(shift * corpus.side)
        if self.cut < 2 or self.cell - self.cut < max(1, 2 * self.shift):
            raise ValueError(
                f"jigsaw.model.cut is {cut}: tiles of {self.cut} pixels whose channels move by up to {self.shift} each "
                f"way, in cells of {self.cell}; lower cut or shift ({shift}), or store larger pictures "
                f"(image.ingest.side, {corpus.side})"
            )
        self.gray, self.resizing = gray, resizing(self.cut, self.tile)
        self.permutations = read(built)
        self.project = nn.Sequential(nn.Linear(encoder.dim, code), nn.ReLU(inplace=True))
        self.head = nn.Sequential(
            nn.Linear(TILES * code, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, len(self.permutations)),
        )

    @classmethod
    def build(cls, corpus: Images, out: Path, *, seed: int, count: int) -> None:  # type: ignore[override]
        """Write `count` permutations to permutations.parquet, a row each, and their distances beside it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        most = math.factorial(TILES)
        if not 2 <= count <= most:
            raise ValueError(f"jigsaw.build.count is {count}; use 2 to {most}, the orders of nine tiles")
        chosen = far_apart(TILES, count, int(np.random.default_rng(seed).integers(most)))
        pq.write_table(
            pa.table({f"slot {k}": chosen[:, k] for k in range(TILES)}), out / "permutations.parquet"
        )
        apart = distances(chosen)
        about = {"count": count, "mean": round(float(apart.mean()), 6), "min": int(apart.min())}
        (out / "permutations.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    def draw(self, index: Index, rng: np.random.Generator) -> tuple[Index, Index]:
        """Where the tiles of each slot lie, (N, T, 4): top, left, height, width; and which permutation, (N,).

        Tile t of the picture is the one in cell t, row by row, and slot s gets tile permutation[s].
        """
        count, size = len(index), self.cut + 2 * self.shift
        label = rng.integers(len(self.permutations), size=count)
        cells = self.permutations[label]  # (N, T)
        origin = rng.integers(self.corpus.side - GRID * self.cell + 1, size=(count, 1, 2))
        offset = rng.integers(self.cell - size + 1, size=(count, TILES, 2))
        corner = origin + self.cell * np.stack([cells // GRID, cells % GRID], 2) + offset
        return np.concatenate([corner, np.full_like(corner, size)], 2), label

    def tiles(self, index: Index, boxes: Index, rng: np.random.Generator) -> Tensor:
        """The tiles, cut, their channels moved, some images grey, resized to P: (N, T, 3, P, P) in about [0, 1]."""
        size = self.cut + 2 * self.shift
        wide = augment.patches(self.corpus, np.repeat(index, TILES), boxes.reshape(-1, 4), size)
        # Every channel is a window of its own in the wider cut, (M, 3, cut, cut).
        down, across = torch.from_numpy(rng.integers(2 * self.shift + 1, size=(2, len(wide), 3)))
        windows = wide.unfold(2, self.cut, 1).unfold(3, self.cut, 1)  # (M, 3, 2 * shift + 1, ..., cut, cut)
        cut = windows[torch.arange(len(wide))[:, None], torch.arange(3), down, across]
        gray = torch.from_numpy(rng.random(len(index)) < self.gray).repeat_interleave(TILES)
        luma = torch.tensor(augment.YIQ[0], dtype=cut.dtype).view(3, 1, 1)
        cut[gray] = (cut[gray] * luma).sum(1, keepdim=True)
        return (self.resizing @ cut @ self.resizing.T).view(len(index), TILES, 3, self.tile, self.tile)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        boxes, label = self.draw(index, rng)
        tiles = standardised(self.tiles(index, boxes, rng), (-2, -1))
        return {"tiles": tiles, "label": torch.from_numpy(label)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        tiles = batch["tiles"]  # (N, T, C, P, P), in the order of slots
        # All tiles of all images in one call: batch norm over one image's tiles alone would link them.
        codes = self.project(self.encoder(shown(tiles.flatten(0, 1), self.encoder)))  # (T*N, code)
        logits = self.head(codes.view(len(tiles), -1))  # (N, K)
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["label"]), "accuracy": accuracy}

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / len(self.permutations)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        boxes, label = self.draw(index, rng)
        tiles = self.tiles(index, boxes, rng)
        back = torch.from_numpy(self.permutations[label].argsort(1))[:, :, None, None, None]
        seen = shown(standardised(tiles, (-2, -1)), self.encoder)
        rows = {
            "image": framed(self.corpus, index, boxes, [RED] * TILES),
            "question": mosaic(tiles),
            "as seen": mosaic(seen),
            "answer": mosaic(tiles.take_along_dim(back, 1)),
        }
        preview.grid(out, rows)
