"""Batches of tiles and patches against a per-sample data loader: `python -m benchmarks.tiles [ROUNDS]`.

The peer does the same to one picture after the other with torchvision, in a torch DataLoader of two workers, already
started, from arrays in memory: for jigsaw nine tiles cut out of their cells, channels moved, some grey, resized,
standardised, put in a permuted order; for relative two patches of a jittered grid, some shrunk and grown again, one
or two channels dropped, resized, standardised. Ours is `batch` of the method with the settings of params.yaml, on two
threads.
"""

import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as V

import modalities
from benchmarks.pictures import PEER, SECONDS, WORKERS, loader, ours, pictures, store
from benchmarks.rates import measured, tell
from modalities.image.corpus import Images
from modalities.image.pretexts.jigsaw import GRID, TILES, Jigsaw
from modalities.image.pretexts.relative import CENTRE, NEIGHBOURS, NOISE, Relative
from stages import cli

SIDE, COUNT, BATCH = 48, 2048, 128


class Singles(Dataset[Any]):
    """Pictures one at a time, with the sizes that a pretext has worked out."""

    def __init__(self, pixels: NDArray[np.uint8], pretext: Any) -> None:
        self.pixels, self.pretext = pixels, pretext

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, k: int) -> Any:
        return self.made(V.to_dtype(V.to_image(self.pixels[k]), torch.float32, scale=True))

    def made(self, image: Tensor) -> Any:
        raise NotImplementedError


class Tiles(Singles):
    pretext: Jigsaw

    def made(self, image: Tensor) -> Any:
        p = self.pretext
        label = int(torch.randint(len(p.permutations), ()))
        origin = torch.randint(SIDE - GRID * p.cell + 1, (2,))
        gray = torch.rand(()) < p.gray
        tiles = []
        for t in range(TILES):
            size = p.cut + 2 * p.shift
            top, left = (
                origin + p.cell * torch.tensor(divmod(t, GRID)) + torch.randint(p.cell - size + 1, (2,))
            )
            wide = V.crop(image, int(top), int(left), size, size)
            moved = [
                V.crop(wide[c : c + 1], *torch.randint(2 * p.shift + 1, (2,)).tolist(), p.cut, p.cut)
                for c in range(3)
            ]
            tile = torch.cat(moved)
            tile = V.rgb_to_grayscale(tile, 3) if gray else tile
            tile = V.resize(tile, [p.tile, p.tile])
            tiles.append((tile - tile.mean((1, 2), True)) / (tile.std((1, 2), keepdim=True) + 1e-5))
        return torch.stack([tiles[t] for t in p.permutations[label]]), label


class Pairs(Singles):
    pretext: Relative

    def made(self, image: Tensor) -> Any:
        p = self.pretext
        pairs, labels = [], []
        for _ in range(p.grids):
            label = int(torch.randint(NEIGHBOURS, ()))
            step = p.patch + p.gap
            free = SIDE - (2 * step + p.patch + 2 * p.jitter)
            origin = p.jitter + torch.randint(free + 1, (2,))
            pair = []
            for place in (CENTRE, label + (label >= CENTRE)):
                top, left = (
                    origin
                    + step * torch.tensor(divmod(place, 3))
                    + torch.randint(-p.jitter, p.jitter + 1, (2,))
                )
                pair.append(self.patch(V.crop(image, int(top), int(left), p.patch, p.patch)))
            pairs.append(torch.stack(pair))
            labels.append(label)
        return torch.stack(pairs), torch.tensor(labels)

    def patch(self, patch: Tensor) -> Tensor:
        p = self.pretext
        if torch.rand(()) < p.shrunk:
            patch = V.resize(patch, [int(torch.randint(p.patch // 2, p.patch, ()))])
        patch = V.resize(patch, [p.tile, p.tile])
        count = p.dropped[int(torch.randint(len(p.dropped), ()))]
        kept = torch.randperm(3)[count:]
        made = torch.randn_like(patch) * NOISE * patch[kept].std()
        made[kept] = patch[kept]
        return (made - made.mean()) / (made.std() + 1e-5)


def row(method: str, single: type[Singles], asked: float, corpus: Images, rounds: int) -> None:
    job = cli.job(cli.load(), "image", method)
    kind: Any = modalities.pretext("image", method)
    with tempfile.TemporaryDirectory() as folder:
        job.call(kind.build, "build", corpus, Path(folder), seed=job.seed)
        pretext = job.call(
            kind, "model", job.call(modalities.encoder("image"), "encoder"), corpus, Path(folder)
        )
    peer = loader(single(np.array(corpus.shards[0]), pretext), BATCH)
    work: Any = {
        "ours": (lambda: deque(ours(COUNT, BATCH, pretext.batch), 0), COUNT),
        PEER: (lambda: deque(peer, 0), COUNT),
    }
    tell(f"{method}, pictures of {SIDE} px", "images/s", measured(work, rounds, SECONDS), asked)


def main(rounds: int) -> None:
    torch.set_num_threads(WORKERS)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = store(pictures(COUNT, SIDE), Path(scratch))
        row("jigsaw", Tiles, 10.0, corpus, rounds)
        row("relative", Pairs, 8.0, corpus, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
