"""Detection: where is what? FCOS on a feature pyramid over the dense features of a frozen trunk or a tuned one.

FCOS, Tian et al. 2019, arXiv:1904.01355, torchvision's, since it has no anchors to choose; feature pyramid, Lin et al.
2017, arXiv:1612.03144, over the last three maps. Pictures are seen at the side that they are stored at, and only
mirrored. Untrained trunks are trained from scratch by the same schedule. Judged by COCO's average precision.
N pictures, S side, K classes, M boxes at most of a picture.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy, nn

from modalities.base import Batch, Encoder, Index, Pretext
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.judging import coco, dense_task
from modalities.image.judging.coco import Found
from modalities.image.judging.marked import Boxed, boxed, sets
from modalities.image.shared import preview

Fit = Callable[..., object]
LEVELS = 3  # maps that the pyramid stands on
READ = 32  # pictures judged at a time
SHOWN, SURE = 8, 0.4  # pictures that are drawn, with answers of this score and more
OVERLAP, LEAST_SCORE, MOST = 0.6, 0.02, 100  # of answers that are kept: FCOS's overlap, COCO's number


class Trunk(nn.Module):
    """What torchvision calls a backbone: pictures to a pyramid of maps of one width."""

    def __init__(self, encoder: Encoder, pyramid: nn.Module, channels: int, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.pyramid, self.out_channels, self.frozen = encoder, pyramid, channels, frozen

    def forward(self, images: Tensor) -> Any:
        maps = dense_task.maps_of(self.encoder, images, self.frozen)[-LEVELS:]
        return self.pyramid({str(number): each for number, each in enumerate(maps)})


class Detect(Pretext):
    """The three losses of FCOS: class, box and how far from the middle."""

    encoder: ImageEncoder

    def __init__(
        self, encoder: ImageEncoder, known: Boxed, built: Path, *, net: nn.Module, batch: int, frozen: bool
    ) -> None:
        super().__init__(encoder, known.pictures, built)
        self.net, self.boxes = net, known.boxes
        self.repeats = -(-batch // len(known.pictures))
        if frozen:
            dense_task.still(encoder)

    def samples(self) -> int:
        return len(self.corpus) * self.repeats

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Half of the pictures mirrored, with boxes (N, M, 4) and classes (N, M), from 1 up; 0: no box."""
        rows = index % len(self.corpus)
        images = dense_task.shown(self.corpus, rows)
        flipped = rng.random(len(rows)) < 0.5
        some = [self.boxes[row] for row in rows]
        easy = [~boxes.hard for boxes in some]
        most = max(1, *(int(each.sum()) for each in easy))
        edges, classes = np.zeros((len(rows), most, 4), np.float32), np.zeros((len(rows), most), np.int64)
        for place, (boxes, keep) in enumerate(zip(some, easy, strict=True)):
            edges[place, : keep.sum()], classes[place, : keep.sum()] = (
                boxes.edges[keep],
                boxes.classes[keep] + 1,
            )
        side = images.shape[-1]
        edges[flipped] = edges[flipped][..., [2, 1, 0, 3]] * [-1, 1, -1, 1] + [side, 0, side, 0]
        mirror = from_numpy(flipped)[:, None, None, None]
        return {
            "image": torch.where(mirror, images.flip(3), images),
            "boxes": from_numpy(edges),
            "classes": from_numpy(classes),
        }

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        there = [classes > 0 for classes in batch["classes"]]
        targets = [
            {"boxes": boxes[keep], "labels": classes[keep]}
            for boxes, classes, keep in zip(batch["boxes"], batch["classes"], there, strict=True)
        ]
        losses = self.net(list(batch["image"]), targets)
        total: Tensor = sum(losses.values())
        return {"loss": total, **losses}

    @torch.inference_mode()
    def answers(self, known: Boxed) -> list[Found]:
        """One for each picture, in evaluation mode."""
        self.eval()
        where = next(self.net.parameters()).device
        found = []
        for start in range(0, len(known.pictures), READ):
            rows = np.arange(start, min(start + READ, len(known.pictures)))
            for said in self.net(list(dense_task.shown(known.pictures, rows).to(where))):
                edges, classes, scores = (said[key].cpu().numpy() for key in ("boxes", "labels", "scores"))
                found.append(Found(edges, classes.astype(np.int64) - 1, scores))
        return found


def run(
    encoder: ImageEncoder,
    corpus: Images,
    fit: Fit,
    out: Path,
    *,
    seed: int,
    modes: list[str],
    channels: int,
    samples: int,
    batch: int,
    optimizer: str,
    lr: float,
    weight_decay: float,
    head_lr: float,
    clip: float,
) -> dict[str, float]:
    """AP, AP50 and AP75 of the test split of every set with boxes, `set/AP`, of the trunk tuned and frozen.

    Empty where no set has boxes or the encoder has no maps of its side. The encoder that is passed in stays as it is.
    """
    dense_task.check(modes, "image.transfers.detection")
    if channels < 32 or channels % 32:
        raise ValueError(f"image.transfers.detection.channels is {channels}; use a multiple of 32")
    found: dict[str, float] = {}
    for name, known in sets(corpus, boxed):
        train, test = known.only("train"), known.only("test")
        inside = dense_task.sizes(encoder, known.pictures.side)
        if inside is None:
            continue
        for mode in modes:
            trunk = copy.deepcopy(encoder)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                net = fcos(trunk, inside, known, channels, frozen=mode == "frozen", head_lr=head_lr)
            task = Detect(trunk, train, Path(), net=net, batch=batch, frozen=mode == "frozen")
            fit(
                task, label=f"detection {name} {mode}", samples=samples, batch=batch, optimizer=optimizer, lr=lr,
                weight_decay=weight_decay, clip=clip, health=batch,
            )  # fmt: skip
            answers = task.answers(test)
            metrics = coco.average_precision(test.boxes, answers)
            found |= {dense_task.named(name, mode, metric): value for metric, value in metrics.items()}
            draw(out / f"{name or 'corpus'} {mode}.png", test, answers)
    return found


def fcos(
    trunk: ImageEncoder,
    inside: list[tuple[int, int]],
    known: Boxed,
    channels: int,
    *,
    frozen: bool,
    head_lr: float,
) -> nn.Module:
    """torchvision's detector on this trunk; every level's objects are as large as its places are apart.

    inside: (channels, places a side) of the trunk's maps.
    """
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import FeaturePyramidNetwork

    side, levels = known.pictures.side, inside[-LEVELS:]
    strides = tuple((side // places,) for _, places in levels)
    pyramid = FeaturePyramidNetwork([wide for wide, _ in levels], channels)
    net: nn.Module = FCOS(
        Trunk(trunk, pyramid, channels, frozen), len(known.classes) + 1, min_size=side, max_size=side,
        image_mean=[0.0] * 3, image_std=[1.0] * 3, size_divisible=1, _skip_resize=True,
        anchor_generator=AnchorGenerator(strides, ((1.0,),) * len(strides)), score_thresh=LEAST_SCORE,
        nms_thresh=OVERLAP, detections_per_img=MOST,
    )  # fmt: skip
    for part in (pyramid, net.head):
        assert isinstance(part, nn.Module)
        dense_task.head_rate(part, head_lr)
    return net


def draw(out: Path, test: Boxed, answers: Sequence[Found]) -> None:
    """The first pictures with the boxes that there are, and with those that are found."""
    count = min(SHOWN, len(test.pictures))
    pictures = dense_task.shown(test.pictures, np.arange(count))
    sure = [said.edges[said.scores >= SURE] for said in answers[:count]]
    preview.grid(
        out,
        {
            "boxes": framed(pictures, [boxes.edges for boxes in test.boxes[:count]], (0.0, 0.45, 0.7)),
            "found": framed(pictures, sure, (0.84, 0.37, 0.0)),
        },
    )


def framed(pictures: Tensor, edges: Sequence[Any], colour: tuple[float, float, float]) -> Tensor:
    """Pictures (n, 3, S, S) with a line of a pixel around each box."""
    found = pictures.clone()
    paint = torch.tensor(colour)[:, None]
    last = pictures.shape[-1] - 1
    for picture, boxes in zip(found, edges, strict=True):
        for left, top, right, bottom in np.clip(np.rint(boxes - [0, 0, 1, 1]), 0, last).astype(int):
            picture[:, top, left : right + 1] = picture[:, bottom, left : right + 1] = paint
            picture[:, top : bottom + 1, left] = picture[:, top : bottom + 1, right] = paint
    return found
