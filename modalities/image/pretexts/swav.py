"""SwAV: from one view of a picture, predict the balanced cluster code of another.

Caron, Misra, Mairal, Goyal, Bojanowski and Joulin, NeurIPS 2020, arXiv:2006.09882.
Only the two large views make codes; small ones, where there are any, just predict. Prototypes are of unit length
before every step. A loss that stays at ln K says that nothing is learned: lower epsilon, or freeze prototypes longer.

Departures: a queue, one for each large view as in the authors' code, fills from the first step, not from its mark, so
that at the mark it is full and recent. It is joined over ranks and dealt to them, so that many processes compute what
one does. Frozen prototypes get a gradient of zero and not none; their length, which weight decay changes, is put back.

N images, V views, S side, D = encoder.dim, P projected dimensions, K prototypes, Q past projections.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed, heads
from modalities.common.distributed import unit
from modalities.common.queue import Queue
from modalities.common.sinkhorn import sinkhorn
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import multicrop, preview
from modalities.image.shared.multicrop import LARGE, MultiCrop


class SwAV(Pretext):
    corpus: Images
    encoder: ImageEncoder
    progress: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        hidden: int,
        dim: int,
        prototypes: int,
        frozen_until: float,
        temperature: float,
        epsilon: float,
        rounds: int,
        queue: int,
        queue_from: float,
        crops: dict[str, Any],
    ) -> None:
        super().__init__(encoder, corpus, built)
        _check(prototypes, len(corpus), frozen_until, temperature, epsilon, rounds, queue, queue_from)
        self.temperature, self.epsilon, self.rounds = temperature, epsilon, rounds
        self.frozen_until, self.queue_from = frozen_until, queue_from
        self.crops = MultiCrop("swav", encoder.side, **crops)
        self.head = heads.mlp(encoder.dim, hidden, dim, norm=True, last="plain")
        self.prototypes = nn.Parameter(unit(torch.randn(prototypes, dim)))  # (K, P)
        self.queues = nn.ModuleList([Queue(queue, dim) for _ in range(LARGE if queue else 0)])
        self.register_buffer("progress", torch.tensor(0.0))

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return self.crops.batch(self.corpus, index, rng)

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = preview.some(self.corpus, rng)
        image = {"image": self.encoder.read(self.corpus, index)}
        preview.grid(out, image | multicrop.rows(self.batch(index, rng)))

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        vectors = multicrop.encoded(self.encoder, batch)  # (V, N, D)
        projected = unit(self.head(vectors.flatten(0, 1))).view(*vectors.shape[:2], -1)  # (V, N, P)
        frozen = self.progress < self.frozen_until
        prototypes = torch.where(frozen, self.prototypes.detach(), self.prototypes)
        with torch.autocast(projected.device.type, enabled=False):
            scores = projected @ prototypes.T  # (V, N, K)
        codes = [self._codes(k, scores[k].detach()) for k in range(LARGE)]  # each (N, K)
        loss, accuracy = swapped(scores / self.temperature, codes)
        for queue, view in zip(self.queues, projected.detach(), strict=False):
            queue.push(distributed.gather(view))  # type: ignore[operator]
        return {"loss": loss, "accuracy": accuracy}

    @torch.no_grad()
    def _codes(self, view: int, scores: Tensor) -> Tensor:
        """Codes (N, K) of one large view, balanced over it and, once its time has come, over past projections."""
        batch, counted = len(scores), scores.new_ones(len(scores))
        if len(self.queues):
            queue: Queue = self.queues[view]  # type: ignore[assignment]
            past = queue.vectors.tensor_split(distributed.world())[distributed.rank()]  # (Q / ranks, P)
            used = queue.full() * (self.progress >= self.queue_from)
            # Past projections are scored by the prototypes of today; their own codes are of no use.
            with torch.autocast(scores.device.type, enabled=False):
                scores = torch.cat([scores, past @ self.prototypes.T])
            counted = torch.cat([counted, used.expand(len(past))])
        codes = sinkhorn(scores, epsilon=self.epsilon, rounds=self.rounds, counted=counted)
        return codes[:batch]

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / len(self.prototypes)}

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)
        with torch.no_grad():
            self.prototypes.copy_(unit(self.prototypes))


def swapped(logits: Tensor, codes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The paper's loss over logits (V, N, K): each code, (N, K), predicted from all views but its own.

    Also the share of those predictions whose first choice is the code's.
    """
    logs = logits.log_softmax(2)
    losses, hits = [], []
    for k, code in enumerate(codes):
        others = torch.cat([logs[:k], logs[k + 1 :]])  # (V - 1, N, K)
        losses.append(-(code * others).sum(2).mean())
        hits.append((others.argmax(2) == code.argmax(1)).float().mean())
    return torch.stack(losses).mean(), torch.stack(hits).mean()


def _check(
    prototypes: int,
    images: int,
    frozen_until: float,
    temperature: float,
    epsilon: float,
    rounds: int,
    queue: int,
    queue_from: float,
) -> None:
    """Raise ValueError, naming the key, for settings that make no codes."""
    key = "swav.model"
    if not 2 <= prototypes <= images:
        raise ValueError(f"{key}.prototypes is {prototypes}; use 2 to {images}, the pictures that there are")
    for name, value in (("temperature", temperature), ("epsilon", epsilon)):
        if value <= 0:
            raise ValueError(f"{key}.{name} is {value}; use a positive number, such as 0.1 or 0.05")
    for name, value in (("frozen_until", frozen_until), ("queue_from", queue_from)):
        if not 0 <= value <= 1:
            raise ValueError(f"{key}.{name} is {value}; use a share of the run, 0 to 1")
    if rounds < 1:
        raise ValueError(f"{key}.rounds is {rounds}; use at least 1, such as 3")
    if queue < 0:
        raise ValueError(
            f"{key}.queue is {queue}; use the number of projections to keep, 0 for the batch alone"
        )
