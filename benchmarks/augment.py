"""Augmentation against lightly and against a per-sample data loader: `python -m benchmarks.augment [ROUNDS]`.

Both sides make the same views of the same pictures, which are smooth noise with the spectrum of photographs. A peer is
a torch DataLoader of two workers, already started, that reads JPEG files (lightly's own dataset) or arrays in memory.
Ours reads a memory-mapped store of the decoded pictures, on two threads. Peer and ours take turns, the first round is
dropped, and one JSON line a row gives images a second (median, smallest, largest) and the ratio of the medians.

lightly resizes bilinearly and blurs with boxes (both cheaper than the bicubic and the true Gaussian of ours); neither
side normalises. Blur is on at 64 and 224 pixels and off at 32, alike on both sides.
"""

import json
import statistics
import sys
import tempfile
import time
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
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from modalities.image.augment import Recipe, crop_flip, views
from modalities.image.corpus import Images

WORKERS = 2


@dataclass(frozen=True)
class Setting:
    """Pictures of `source` pixels, views of `side`."""

    side: int
    source: int
    count: int
    batch: int
    blur: float


SETTINGS = [
    Setting(64, 128, 1024, 128, 0.5),
    Setting(32, 32, 2048, 256, 0.0),
    Setting(224, 256, 192, 32, 0.5),
]


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    """(count, side, side, 3): noise whose amplitude falls with frequency, as that of photographs does."""
    rng = np.random.default_rng(side)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    fall = 1 / np.maximum(frequency, 1 / side)
    out = np.empty((count, side, side, 3), np.uint8)
    for k in range(count):
        layers = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(4, side, side))) * fall, (side, side))
        layers /= layers.std((1, 2), keepdims=True)
        # Three quarters of the variance is common to the channels.
        mixed = 0.87 * layers[3] + 0.5 * layers[:3]
        out[k] = (128 + 55 * mixed).clip(0, 255).transpose(1, 2, 0)
    return out


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


def store(pixels: NDArray[np.uint8], folder: Path) -> Images:
    """The pictures as ingest leaves them: one memory-mapped shard."""
    np.save(folder / "images-00000.npy", pixels)
    count = len(pixels)
    return Images(
        shards=[np.load(folder / "images-00000.npy", mmap_mode="r")],
        ids=[str(k) for k in range(count)],
        labels=np.full(count, -1),
        splits=np.full(count, "train"),
        classes=[],
        rows=np.arange(count),
    )


def loader(data: Any, batch: int) -> DataLoader[Any]:
    return DataLoader(data, batch, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def ours(
    count: int, batch: int, make: Callable[[NDArray[np.int64], np.random.Generator], Tensor]
) -> Iterable[Tensor]:
    order = np.random.default_rng(0).permutation(count)
    for step, start in enumerate(range(0, count, batch)):
        yield make(order[start : start + batch], np.random.default_rng([17, step]))


def rate(epoch: Callable[[], Iterable[Any]], count: int) -> float:
    """Images a second of whole epochs, for at least half a second."""
    epochs, start = 0, time.perf_counter()
    while not epochs or time.perf_counter() - start < 0.5:
        for _ in epoch():
            pass
        epochs += 1
    return epochs * count / (time.perf_counter() - start)


def compare(rounds: int, count: int, sides: dict[str, Callable[[], Iterable[Any]]]) -> None:
    """Run "ours" and its peers in turn and print a line for each peer."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, epoch in sides.items():
            found = rate(epoch, count)
            if number:
                rates[name].append(found)
    of = {
        name: {"median": round(statistics.median(r)), "min": round(min(r)), "max": round(max(r))}
        for name, r in rates.items()
    }
    for name in [name for name in sides if name != "ours"]:
        ratio = round(of["ours"]["median"] / of[name]["median"], 1)
        print(
            json.dumps(
                {"name": name, "unit": "images/s", "peer": of[name], "ours": of["ours"], "ratio": ratio}
            ),
            flush=True,
        )


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
        rounds,
        count,
        {
            f"SimCLR, two views of {side} px from {source}: lightly on JPEG": lambda: jpeg,
            f"SimCLR, two views of {side} px from {source}: lightly on arrays": lambda: arrays,
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
        rounds,
        count,
        {
            f"four turns of {side} px: a data loader, sample by sample": lambda: single,
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
