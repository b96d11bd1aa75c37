"""DeepCluster: say in which cluster of the network's own features a picture fell at the start of the epoch.

v1  Caron, Bojanowski, Joulin and Douze, ECCV 2018, arXiv:1807.05520. Features are whitened, clustered and then drawn
    so that all clusters are seen alike: else one cluster eats the rest. The head starts anew every epoch.
v2  In the appendix of SwAV (Caron et al. 2020, arXiv:2006.09882). Unit-length projections that the last epoch made of
    the large views are clustered several times, and the centroids are the head; every view is asked for every cluster.

Departures: v1 has one hidden layer of the encoder's width where AlexNet had two of 4,096, and no dropout. An epoch may
be several passes over the pictures, so that a new head has time to learn where they are few. The paper's rate is
constant; on the loop's falling one the last heads learn little. v2's first clusters are of projections of the pictures
as they are.

N images, M samples of the corpus, V views, D = encoder.dim, P projected dimensions, H clusterings, K clusters.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Encode, Encoder, Index, Pretext
from modalities.common import distributed, heads
from modalities.common.assignments import Assignments, alike
from modalities.common.distributed import unit
from modalities.common.kmeans import kmeans
from modalities.common.whitening import whitened
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, Sobel
from modalities.image.shared import multicrop, preview
from modalities.image.shared.multicrop import LARGE, MultiCrop

LOOKED_AT = 512  # pictures that the preview clusters


class DeepCluster(Pretext):
    corpus: Images
    order: Tensor
    centroids: Tensor
    memory: Tensor
    remembered: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        version: Literal["v1", "v2"],
        clusters: int,
        iterations: int,
        passes: int,
        sobel: bool,
        components: int,
        clusterings: int,
        hidden: int,
        dim: int,
        temperature: float,
        crops: dict[str, Any],
    ) -> None:
        trunk: Encoder = Sobel(encoder=encoder.like(channels=2)) if sobel else encoder
        super().__init__(trunk, corpus, built)
        _check(version, clusters, len(corpus), temperature)
        counts = {
            "iterations": iterations,
            "passes": passes,
            "components": components,
            "clusterings": clusterings,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"deepcluster.model.{name} is {value}; use at least 1")
        self.iterations, self.components = iterations, components
        self.temperature, self.side = temperature, encoder.side
        count = clusterings if version == "v2" else 1
        self.assigned = Assignments(count, len(corpus), clusters)
        if version == "v1":
            self.crops = None
            self.projector = heads.mlp(trunk.dim, trunk.dim, norm=True, last="norm")
            self.head = nn.Linear(trunk.dim, clusters)
            self.register_buffer("order", torch.arange(len(corpus)).repeat(passes))  # what an epoch reads
        else:
            self.crops = MultiCrop("deepcluster", encoder.side, **crops)
            self.projector = heads.mlp(trunk.dim, hidden, dim, norm=True, last="plain")
            self.register_buffer("centroids", unit(torch.randn(count, clusters, dim)))
            # What the last epoch projected each sample to, in both large views.
            self.register_buffer("memory", torch.zeros(LARGE, len(corpus), dim))  # (2, M, P)
            self.register_buffer("remembered", torch.tensor(False))

    def samples(self) -> int:
        return len(self.corpus) if self.crops else len(self.order)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        if self.crops:
            return self.crops.batch(self.corpus, index, rng) | {"index": torch.from_numpy(index)}
        rows = self.order[torch.from_numpy(index).to(self.order.device)].cpu()
        images = crop_flip(self.corpus, rows.numpy(), self.side, rng)
        return {"image": images, "index": rows}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        logits = self._ask_all(batch) if self.crops else self._ask(batch)  # (H, V, N, K)
        labels = self.assigned.labels[:, batch["index"]]  # (H, N)
        target = labels.unsqueeze(1).expand(logits.shape[:3])
        loss = F.cross_entropy(logits.flatten(0, 2).float(), target.flatten())
        accuracy = (logits.argmax(3) == target).float().mean()
        found = self.assigned.metrics()
        # v1 draws all clusters alike, v2 does not.
        chance = found["biggest"] if self.crops else 1 / (self.assigned.clusters - found["empty"])
        return {"loss": loss, "accuracy": accuracy, "accuracy.chance": chance, **found}

    def _ask(self, batch: Batch) -> Tensor:
        hidden = self.projector(self.encoder(batch["image"]))
        logits: Tensor = self.head(F.relu(hidden))  # (N, K)
        return logits[None, None]

    def _ask_all(self, batch: Batch) -> Tensor:
        vectors = multicrop.encoded(self.encoder, batch)  # (V, N, D)
        projected = unit(self.projector(vectors.flatten(0, 1))).view(*vectors.shape[:2], -1)  # (V, N, P)
        if self.training:
            index = distributed.gather(batch["index"])
            for memory, view in zip(self.memory, projected.detach(), strict=False):
                memory[index] = distributed.gather(view)
        with torch.autocast(projected.device.type, enabled=False):
            logits: Tensor = projected @ self.centroids.mT.unsqueeze(1) / self.temperature  # (H, V, N, K)
            return logits

    @torch.no_grad()
    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        if self.crops:
            self._cluster_memory(encode)
            return []
        points = unit(whitened(self._projected(encode), self.components))
        self.assigned.renew([points], iterations=self.iterations, spherical=False)
        order = alike(self.assigned.labels[0].cpu(), len(self.order))
        self.order.copy_(distributed.from_first(order.to(self.order.device)))
        nn.init.normal_(self.head.weight, 0, 0.01)
        nn.init.zeros_(self.head.bias)
        return list(self.head.parameters())

    def _cluster_memory(self, encode: Encode) -> None:
        if not self.remembered:
            self.memory.copy_(unit(self._projected(encode)))
            self.remembered.fill_(True)
        points = [self.memory[k % LARGE] for k in range(len(self.centroids))]
        self.centroids.copy_(self.assigned.renew(points, iterations=self.iterations, spherical=True))

    def _projected(self, encode: Encode) -> Tensor:
        """What is clustered of all samples, in their order: before the last ReLU, in evaluation mode, (M, P)."""
        found: Tensor = self.projector.eval()(distributed.features(encode, len(self.corpus)))
        self.projector.train(self.training)
        return found

    @torch.no_grad()
    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Clusters of an untrained network: what it is asked in its first epoch."""
        index = np.sort(rng.permutation(len(self.corpus))[:LOOKED_AT])
        points = unit(whitened(self.encoder.eval()(self.encoder.read(self.corpus, index)), self.components))
        self.encoder.train(self.training)
        start = points[rng.permutation(len(points))[: max(2, len(points) // 12)]]
        labels = kmeans(points, start, iterations=self.iterations, spherical=False).labels
        largest = torch.bincount(labels).argsort(descending=True, stable=True)[:4].tolist()
        members = [index[(labels == k).numpy()][: preview.COLUMNS] for k in largest]
        rows = {f"cluster {k + 1}": self.encoder.read(self.corpus, mine) for k, mine in enumerate(members)}
        found = self.batch(members[0], rng)
        shown = found["views"][0] if self.crops else found["image"]
        if isinstance(self.encoder, Sobel):
            shown = self.encoder.seen(shown).mean(1, keepdim=True)
        preview.grid(out, rows | {"1, as shown": shown})


def _check(
    version: Any,
    clusters: int,
    images: int,
    temperature: float,
) -> None:
    """Raise ValueError, naming the key, for settings that make no clusters."""
    key = "deepcluster.model"
    if version not in ("v1", "v2"):
        raise ValueError(f"{key}.version is {version}; use v1 or v2")
    if not 2 <= clusters <= images:
        raise ValueError(f"{key}.clusters is {clusters}; use 2 to {images}, the pictures that there are")
    if temperature <= 0:
        raise ValueError(f"{key}.temperature is {temperature}; use a positive number, such as 0.1")
