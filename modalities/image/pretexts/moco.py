"""MoCo: pick the key of the same image, made by a slowly moving twin, from a queue of the keys of others.

He, Fan, Wu, Xie and Girshick, CVPR 2020, arXiv:1911.05722 (v1); Chen et al. 2020, arXiv:2003.04297 (v2); Chen, Xie and
He, ICCV 2021, arXiv:2104.02057 (v3). The three are settings of `model`:

    v1  head: linear  queue: 65536  temperature: 0.07  momentum: 0.999 (end too)          symmetric: false
    v2  head: mlp     queue: 65536  temperature: 0.2   momentum: 0.999 (end too)          symmetric: false
    v3  head: v3      queue: 0      temperature: 1.0   momentum: 0.99, momentum_end: 1.0  symmetric: true

Batch norm would tell keys by their statistics. With `bn_splits` above 1 both networks norm in so many parts of the
joined batch, keys in another order than queries (common/split_norm.py); this takes the place of statistics over ranks.

Departures: `symmetric` takes the mean over both directions, v3's code their sum. Its projector has three layers, where
the authors' code gives a ResNet two. Accuracy counts as 0 until the queue holds keys alone: random vectors are told
apart too easily.

Keys in the queue are older than the positive. While the networks still move fast that alone tells them apart, so in
short runs the loss rises and the accuracy falls as the learning rate goes down, though images are told apart better.

N images, C channels, S side, D = encoder.dim, P projected dimensions, K keys in the queue.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed, ema, heads
from modalities.common.distributed import unit
from modalities.common.info_nce import batch_info_nce, info_nce
from modalities.common.queue import Queue
from modalities.common.split_norm import shuffled, split
from modalities.image.augment import Recipe, views
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview

Head = Literal["linear", "mlp", "v3"]


class MoCo(Pretext):
    corpus: Images
    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        head: Head,
        hidden: int,
        dim: int,
        queue: int,
        temperature: float,
        momentum: float,
        momentum_end: float,
        symmetric: bool,
        bn_splits: int,
        recipes: list[dict[str, Any]],
    ) -> None:
        super().__init__(encoder, corpus, built)
        if temperature <= 0:
            raise ValueError(f"moco.model.temperature is {temperature}; use a positive number, such as 0.2")
        if queue < 0:
            raise ValueError(
                f"moco.model.queue is {queue}; use the number of keys to keep, 0 for the batch's own"
            )
        if bn_splits < 1:
            raise ValueError(
                f"moco.model.bn_splits is {bn_splits}; use 1 for ordinary batch norm, or a few parts"
            )
        ema.check("moco", momentum, momentum_end)
        self.temperature, self.symmetric, self.bn_splits = temperature, symmetric, bn_splits
        self.momentum, self.momentum_end = momentum, momentum_end
        self.recipes = two(recipes)
        self.head, self.predictor = projector(head, encoder.dim, hidden, dim)
        if bn_splits > 1:
            split(self, bn_splits)
        self.teacher = ema.twin(nn.Sequential(self.encoder, self.head))
        self.queue = Queue(queue, dim) if queue else None
        # v3 scales its loss so that its size, and with it the learning rate, hardly depends on the temperature.
        self.scale = 2 * temperature if head == "v3" else 1.0

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"views": views(self.corpus, index, self.encoder.side, rng, self.recipes)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        queries, keys = self.batch(index, rng)["views"]
        rows = {"image": self.encoder.read(self.corpus, index), "query": queries, "its key": keys}
        preview.grid(out, rows | {"not its key": keys.roll(1, 0)})

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        first, second = batch["views"]  # each (N, C, S, S)
        ways = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        self._check(len(first) * distributed.world(), len(ways))
        keys = [self._keys(images) for _, images in ways]
        found = [self._contrast(images, key) for (images, _), key in zip(ways, keys, strict=True)]
        loss, accuracy = (torch.stack(each).mean() for each in zip(*found, strict=True))
        if self.queue:
            self.queue.push(torch.cat([distributed.gather(key) for key in keys]))
            accuracy = accuracy * self.queue.full()
        return {"loss": loss * self.scale, "accuracy": accuracy}

    def _check(self, images: int, ways: int) -> None:
        """Raise ValueError, at the first step, where a batch is too small for its norms or too large for the queue."""
        if not self.training:
            return
        if images < 2:
            raise ValueError(
                f"train.batch is {images}; moco needs at least 2 pictures to norm and to contrast"
            )
        if self.queue and self.queue.size < images * ways:
            raise ValueError(
                f"moco.model.queue is {self.queue.size}, but a step brings {images * ways} keys; make it a few times "
                "as many, or 0 to contrast within the batch"
            )

    @torch.no_grad()
    def _keys(self, images: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, P), by the twin."""
        return unit(shuffled(self.teacher, images) if self.bn_splits > 1 else self.teacher(images))

    def _contrast(self, images: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        query = unit(self.predictor(self.head(self.encoder(images))))  # (N, P)
        if self.queue:
            return info_nce(query, key, self.queue.read(), self.temperature)
        return batch_info_nce(query, key, self.temperature)

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / (1 + self.queue.size)} if self.queue else {}

    def after_step(self, progress: float) -> None:
        momentum = ema.cosine(self.momentum, self.momentum_end, progress)
        ema.update(self.teacher, nn.Sequential(self.encoder, self.head), momentum)


def projector(head: Head, width: int, hidden: int, dim: int) -> tuple[nn.Module, nn.Module]:
    """The head that both networks have and the predictor that only the query's has, (N, D) -> (N, P) -> (N, P)."""
    if head == "linear":
        return heads.mlp(width, dim, norm=False, last="plain"), nn.Identity()
    if head == "mlp":
        return heads.mlp(width, hidden, dim, norm=False, last="plain"), nn.Identity()
    if head == "v3":
        predictor = heads.mlp(dim, hidden, dim, norm=True, last="white")
        return heads.mlp(width, hidden, hidden, dim, norm=True, last="white"), predictor
    raise ValueError(f"moco.model.head is {head}; use linear (v1), mlp (v2) or v3")


def two(recipes: list[dict[str, Any]]) -> list[Recipe]:
    if len(recipes) not in (1, 2):
        raise ValueError(
            f"moco.model.recipes has {len(recipes)} entries; give one for both views, or one a view"
        )
    return [Recipe(**recipes[0]), Recipe(**recipes[-1])]
