"""Segmentation: the class of every pixel, by a small head on dense features, of a frozen trunk or a tuned one.

A fully convolutional network (Long et al. 2015, arXiv:1411.4038) with as little on top as there can be: one linear
layer on all maps but the first, or two blocks of convolutions on the last two. Pictures are seen at the side that
they are stored at. Untrained trunks are trained from scratch by the same schedule.
N pictures, S side, K classes, h places a side of the head.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common.embedding import READ
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.judging import confusion, dense_task
from modalities.image.judging.marked import Masked, masked, sets
from modalities.image.reading.masks import UNKNOWN
from modalities.image.shared import preview
from modalities.image.shared.dense import Dense

Fit = Callable[..., object]
Head = Literal["linear", "decoder"]
SHOWN = 8  # pictures that are drawn
STRIDE = 4  # pixels a place of the decoder


class Linear(nn.Module):
    """All maps but the first, standardised and side by side at the finest of their grids, then one linear layer."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(sum(channels[1:] or channels), affine=False)
        self.out = nn.Conv2d(sum(channels[1:] or channels), classes, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """-> (N, K, h, h)"""
        some = maps[1:] or maps
        side = some[0].shape[-1]
        found: Tensor = self.out(self.norm(torch.cat([dense_task.upsampled(each, side) for each in some], 1)))
        return found


class Segment(Pretext):
    """Cross-entropy at every pixel that is known."""

    encoder: ImageEncoder

    def __init__(
        self, encoder: ImageEncoder, known: Masked, built: Path, *, head: nn.Module, classes: int,
        ignore: list[int], crop: list[float], batch: int, frozen: bool,
    ) -> None:  # fmt: skip
        super().__init__(encoder, known.pictures, built)
        self.known, self.head, self.classes, self.frozen = known, head, classes, frozen
        self.ignore, self.crop = ignore, crop
        self.repeats = -(-batch // len(known.pictures))
        if frozen:
            dense_task.still(encoder)

    def samples(self) -> int:
        return len(self.corpus) * self.repeats

    def truth(self, index: Index, known: Masked) -> NDArray[np.uint8]:
        """(N, S, S), UNKNOWN where a class is not to be judged."""
        masks = known.masks(index)
        return np.where(np.isin(masks, self.ignore), UNKNOWN, masks).astype(np.uint8)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Square pieces of some share of the side, half of them mirrored, enlarged to it."""
        rows = index % len(self.corpus)
        images = dense_task.shown(self.corpus, rows)
        masks = from_numpy(self.truth(rows, self.known)).unsqueeze(1).float()
        share = rng.uniform(self.crop[0], self.crop[1], len(rows))
        middle = rng.uniform(-1, 1, (2, len(rows))) * (1 - share)
        places = np.zeros((len(rows), 2, 3), np.float32)
        places[:, 0, 0] = share * np.where(rng.random(len(rows)) < 0.5, -1, 1)
        places[:, 1, 1] = share
        places[:, :, 2] = middle.T
        grid = F.affine_grid(from_numpy(places), list(images.shape), align_corners=False)
        pieces = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        labels = F.grid_sample(masks, grid, mode="nearest", padding_mode="border", align_corners=False)
        return {"image": pieces, "mask": labels[:, 0].long()}

    def scores(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, K, S, S)"""
        maps = dense_task.maps_of(self.encoder, images, self.frozen)
        return dense_task.upsampled(self.head(maps), images.shape[-1])

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        scores, masks = self.scores(batch["image"]), batch["mask"]
        known = masks != UNKNOWN
        total = F.cross_entropy(scores, masks, ignore_index=UNKNOWN, reduction="sum")
        right = ((scores.argmax(1) == masks) & known).sum()
        count = known.sum().clamp_min(1)
        return {"loss": total / count, "accuracy": right / count}

    @torch.inference_mode()
    def answers(self, known: Masked, index: Index) -> NDArray[np.uint8]:
        """(n, S, S), in evaluation mode."""
        self.eval()
        where = next(self.head.parameters()).device
        found = []
        for rows in np.array_split(index, max(1, -(-len(index) // (READ // 8)))):
            images = dense_task.shown(known.pictures, rows).to(where)
            found.append(self.scores(images).argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(found)


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Fit,
    out: Path,
    *,
    seed: int,
    modes: list[str],
    head: Head,
    channels: int,
    ignore: list[int],
    crop: list[float],
    samples: int,
    batch: int,
    optimizer: str,
    lr: float,
    weight_decay: float,
    head_lr: float,
) -> dict[str, float]:
    """mIoU and pixel accuracy of the test split of every set with masks, `set/mIoU`, of the trunk tuned and frozen.

    `ignore` are classes that are not judged. Empty where no set has masks or the encoder has no maps of its side. The
    encoder that is passed in stays as it is.
    """
    dense_task.check(modes, "image.transfers.segmentation")
    if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
        raise ValueError(f"image.transfers.segmentation.crop is {crop}; use two shares, 0 < from <= to <= 1")
    found: dict[str, float] = {}
    for name, known in sets(corpus, masked):
        train, test = known.only("train"), known.only("test")
        maps = dense_task.sizes(encoder, known.pictures.side)
        if maps is None or (head == "decoder" and len(maps) < 2):
            continue
        inside = [wide for wide, _ in maps]
        for mode in modes:
            classes = largest(known, ignore) + 1
            trunk = copy.deepcopy(encoder)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                top = made(head, trunk, inside, known.pictures.side, channels, classes)
            dense_task.head_rate(top, head_lr)
            task = Segment(
                trunk, train, Path(), head=top, classes=classes, ignore=ignore, crop=crop, batch=batch,
                frozen=mode == "frozen",
            )  # fmt: skip
            fit(
                task, label=f"segmentation {name} {mode}", samples=samples, batch=batch, optimizer=optimizer, lr=lr,
                weight_decay=weight_decay, health=batch,
            )  # fmt: skip
            found |= judged(task, test, name, mode, out)
    return found


def made(
    head: Head, trunk: ImageEncoder, inside: list[int], side: int, channels: int, classes: int
) -> nn.Module:
    if head == "linear":
        return Linear(inside, classes)
    return Dense(
        trunk,
        inputs=3,
        channels=channels,
        out=classes,
        places=side // STRIDE,
        key="image.transfers.segmentation",
    )


def largest(known: Masked, ignore: list[int]) -> int:
    """The largest number of a class. Raises ValueError where there are fewer than two classes."""
    rows = np.arange(len(known.pictures))
    there = set().union(*(np.unique(known.masks(rows[k : k + 64])).tolist() for k in range(0, len(rows), 64)))
    there -= {UNKNOWN, *ignore}
    if len(there) < 2:
        raise ValueError(f"the masks have the classes {sorted(there)}; segmentation needs two or more")
    return int(max(there))


def judged(task: Segment, test: Masked, name: str, mode: str, out: Path) -> dict[str, float]:
    """The metrics, with their chance, and a picture of the first answers."""
    counts = np.zeros((task.classes, task.classes), np.int64)
    rows = np.arange(len(test.pictures))
    for start in range(0, len(rows), READ):
        part = rows[start : start + READ]
        counts += confusion.confusion(task.truth(part, test), task.answers(test, part), task.classes)
    first = rows[:SHOWN]
    preview.grid(
        out / f"{name or 'corpus'} {mode}.png",
        {
            "picture": dense_task.shown(test.pictures, first),
            "truth": painted(task.truth(first, test), task.classes),
            "answer": painted(task.answers(test, first), task.classes),
        },
    )
    found: dict[str, float] = {}
    values = {"mIoU": confusion.mean_iou(counts), "pixel_accuracy": confusion.pixel_accuracy(counts)}
    for (metric, value), guess in zip(values.items(), confusion.guessing(counts), strict=True):
        key = dense_task.named(name, mode, metric)
        found |= {key: value, f"{key}.chance": guess}
    return found


def painted(masks: NDArray[np.uint8], classes: int) -> Tensor:
    """(N, S, S) -> (N, 3, S, S): a colour for each class, light grey where it is not known."""
    turn = np.arange(classes)[:, None] * 2.399963 + np.array([0.0, 2.0944, 4.1888])  # the golden angle
    colours = np.full((256, 3), 0.85, np.float32)
    colours[:classes] = 0.5 + 0.45 * np.sin(turn)
    return from_numpy(colours[masks]).permute(0, 3, 1, 2)
