"""Pictures that are made, a store of them, and how peer and ours go through them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from modalities.image.corpus import Images

WORKERS = 2
SECONDS = 0.5  # of a turn, at least
PEER = "a data loader, sample by sample"


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
