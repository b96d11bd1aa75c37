"""Augmentation against lightly and against a per-sample data loader: `python -m benchmarks.augment [ROUNDS]`.

Both sides make the same views of the same pictures, which are smooth noise with the spectrum of photographs. A peer is
a torch DataLoader of two workers, already started, that reads JPEG files (lightly's own dataset) or arrays in memory.
Ours reads a memory-mapped store of the decoded pictures, on two threads. One JSON line a row.

lightly resizes bilinearly and blurs with boxes (both cheaper than the bicubic and the true Gaussian of ours); neither
side normalises. Blur is on at 64 and 224 pixels and off at 32, alike on both sides.
"""

import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.data import LightlyDataset
from lightly.transforms.simclr_transform import SimCLRTransform
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms

from benchmarks.pictures import PEER, SECONDS, WORKERS, loader, ours, pictures, store
from benchmarks.rates import measured, tell
from modalities.image.augment import Recipe, crop_flip, views


@dataclass(frozen=True)
class Setting:
    """Pictures of `source` pixels, views of `side`."""

    side: int
    source: int
    count: int
    batch: int
    blur: float
    asked: tuple[float, float]  # ratios to lightly on JPEG files, and on arrays


SETTINGS = [
    Setting(64, 128, 1024, 128, 0.5, (8.0, 4.0)),
    Setting(32, 32, 2048, 256, 0.0, (8.0, 4.0)),
    Setting(224, 256, 192, 32, 0.5, (4.0, 4.0)),
]


class Arrays(Dataset[Any]):
    """Decoded pictures, one at a time."""

    def __init__(self, pixels: NDArray[np.uint8], transform: Callable[[Image.Image], Any]) -> None:
        self.pixels = pixels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, k: int) -> Any:
        return self.transform(Image.fromarray(self.pixels[k]))


def turns(image: Tensor) -> Tensor:
    return torch.stack([image.rot90(k, (1, 2)) for k in range(4)])


def compare(
    row: str, asked: dict[str, float], rounds: int, count: int, sides: dict[str, Callable[[], Iterable[Any]]]
) -> None:
    """Run "ours" and its peers in turn, whole epochs; a line for each peer."""
    work = {name: (lambda epoch=epoch: deque(epoch(), 0), count) for name, epoch in sides.items()}
    rates = measured(work, rounds, SECONDS)
    for name, ratio in asked.items():
        tell(row, "images/s", {"ours": rates["ours"], name: rates[name]}, ratio)


def simclr(setting: Setting, rounds: int, folder: Path) -> None:
    """Two views of SimCLR at strength 0.5."""
    side, source, count = setting.side, setting.source, setting.count
    files = folder / f"jpeg-{source}"
    files.mkdir()
    for k, pixels in enumerate(pictures(count, source)):
        Image.fromarray(pixels).save(files / f"{k:05d}.jpg", quality=90)
    decoded = np.stack([np.asarray(Image.open(path)) for path in sorted(files.iterdir())])
    corpus = store(decoded, folder)
    recipe = Recipe(
        scale=(0.08, 1.0), jitter=(0.4, 0.4, 0.4, 0.1), jitter_share=0.8, gray=0.2, blur=setting.blur, solarise=0.0,
        flip=0.5,
    )  # fmt: skip
    transform = SimCLRTransform(side, cj_strength=0.5, gaussian_blur=setting.blur, normalize=None)
    jpeg = loader(LightlyDataset(str(files), transform=transform), setting.batch)
    arrays = loader(Arrays(decoded, transform), setting.batch)
    compare(
        f"SimCLR, two views of {side} px from {source}",
        {"lightly on JPEG": setting.asked[0], "lightly on arrays": setting.asked[1]},
        rounds,
        count,
        {
            "lightly on JPEG": lambda: jpeg,
            "lightly on arrays": lambda: arrays,
            "ours": lambda: ours(
                count, setting.batch, lambda index, rng: views(corpus, index, side, rng, [recipe, recipe])
            ),
        },
    )


def rotation(rounds: int, folder: Path) -> None:
    """Moved, flipped and turned four ways."""
    count, side, batch = 2048, 32, 128
    corpus = store(pictures(count, side), folder)
    steps = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    single = loader(Arrays(corpus.shards[0], transforms.Compose([*steps, turns])), batch)

    def turned(index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        images = crop_flip(corpus, index, side, rng)
        # Copied on one thread: this little, torch's threads would mostly wait for each other.
        out = np.empty((4, *images.shape), np.float32)
        for k in range(4):
            out[k] = np.rot90(images.numpy(), k, (2, 3))
        return torch.from_numpy(out)

    compare(
        f"four turns of {side} px",
        {PEER: 3.0},
        rounds,
        count,
        {
            PEER: lambda: single,
            "ours": lambda: ours(count, batch, turned),
        },
    )


def main(rounds: int) -> None:
    torch.set_num_threads(WORKERS)
    with tempfile.TemporaryDirectory() as scratch:
        for setting in SETTINGS:
            simclr(setting, rounds, Path(scratch))
        rotation(rounds, Path(scratch))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
