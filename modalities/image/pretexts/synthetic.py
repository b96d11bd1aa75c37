"""Synthetic imagery: of rendered scenes predict depth, surface normals and contours of objects, with features that a
critic cannot tell from those of real pictures.

Ren and Lee, CVPR 2018, arXiv:1711.09082. `build` renders views of random rooms; labels are theirs alone, and real
pictures come in by the critic. It reads the encoder's deepest map (`critic: features`, the paper's) or what is
predicted (`maps`), and is shown some of the past. With `gray` an image is one of its channels, drawn for each and
repeated, so that colour is no shortcut; the encoder is then exported in grey.

Departures: our renderer for SUNCG and SceneNet, with the noise, blur and compression of photographs; the shared encoder
for AlexNet. Both kinds are normed apart, in training, and only real pictures are remembered in the running statistics:
downstream is real. The authors' code has had both signs in the depth loss, and weighs contours otherwise.
N images, S side, D = encoder.dim, s side of the deepest map, h = S/2 places.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common import adversarial as play
from modalities.common.history import History
from modalities.image import augment
from modalities.image.corpus import Images
from modalities.image.encoders import Gray, ImageEncoder
from modalities.image.shared import preview, surfaces
from modalities.image.shared.scenes import views
from modalities.image.shared.surfaces import Heads, Surfaces
from modalities.image.shared.upward import deepest

JUDGED = 2000  # views that blind guesses are measured on
PAST = 128  # maps of each kind that the critic is shown again
TEXTURES, PIECE = 256, 32  # pictures of the corpus on surfaces, and their side
DEEP = 8.0  # metres that are black in the preview


class PlaceCritic(nn.Sequential):
    """Real or made, at every place of (N, C, s, s): a logit each."""

    def __init__(self, inputs: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for k, stride in enumerate((1, 2, 2)):
            out = channels << k
            layers.append(nn.Conv2d(inputs, out, 3, stride, 1, bias=not k))
            layers += [nn.BatchNorm2d(out)] if k else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs = out
        super().__init__(*layers, nn.Conv2d(inputs, 1, 1))


class Synthetic(Pretext):
    corpus: Images
    encoder: ImageEncoder | Gray
    progress: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        critic: Literal["features", "maps"],
        gray: bool,
        depth: float,
        normals: float,
        contour: float,
        adversarial: float,
        ramp: float,
        channels: int,
        critic_channels: int,
    ) -> None:
        super().__init__(Gray(encoder=encoder) if gray else encoder, corpus, built)
        self.views = views.read(built)
        for key, value, wrong, want in (
            ("critic", critic, critic not in ("features", "maps"), "features or maps"),
            ("depth", depth, depth < 0, "a weight of at least 0"),
            ("normals", normals, normals < 0, "a weight of at least 0"),
            (
                "contour",
                contour,
                contour < 0 or not depth + normals + contour,
                "a weight; some must be above 0",
            ),
            ("adversarial", adversarial, adversarial < 0, "a weight of at least 0, for none"),
            ("ramp", ramp, not 0 < ramp <= 1, "a share of the run, above 0 and up to 1"),
            ("channels", channels, channels < 1, "at least 1"),
            ("critic_channels", critic_channels, critic_channels < 1, "at least 1"),
        ):
            if wrong:
                raise ValueError(f"synthetic.model.{key} is {value}; use {want}")
        side = encoder.side
        if self.views.side < side or side % 2:
            raise ValueError(
                f"synthetic.build.side is {self.views.side}, but image.encoder.side is {side}; render larger views, "
                "and use an even side"
            )
        self.reads, self.gray, self.adversarial, self.ramp = critic, gray, adversarial, ramp
        self.weights = (depth, normals, contour)
        last = deepest(encoder, "synthetic")
        self.heads = Heads(last, channels=channels, out=side // 2, key="synthetic")
        shape = (last.channels, last.side, last.side) if critic == "features" else (5, side // 2, side // 2)
        self.critic = PlaceCritic(shape[0], critic_channels) if adversarial else None
        self.past = nn.ModuleList(History(PAST, shape) for _ in range(2 if adversarial else 0))
        self.register_buffer("progress", torch.tensor(0.0))

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Images,
        out: Path,
        *,
        seed: int,
        count: int,
        side: int,
        objects: list[int],
        texture: Literal["drawn", "corpus"],
    ) -> None:
        """Render `count` views of `side` pixels with `objects` from and to so many; see shared/scenes/views.py."""
        for key, value, wrong, want in (
            ("count", count, count < 1, "at least 1"),
            ("side", side, side < 8, "at least 8 pixels"),
            (
                "objects",
                objects,
                len(objects) != 2 or not 0 <= objects[0] <= objects[1] < 256,
                "two numbers, from and to",
            ),
            ("texture", texture, texture not in ("drawn", "corpus"), "drawn, or corpus for its pictures too"),
        ):
            if wrong:
                raise ValueError(f"synthetic.build.{key} is {value}; use {want}")
        pieces = textures(corpus, seed) if texture == "corpus" else np.zeros((0, 1, 1, 3), np.float32)
        views.write(out, seed=seed, count=count, side=side, objects=objects, pictures=pieces)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """These real pictures and as many views, cropped alike: a square of S from views of `build.side`."""
        count, side = len(index), self.encoder.side
        made, asked = self.rendered(rng.integers(len(self.views), size=count), rng)
        size = max(1, round(self.corpus.side * side / self.views.side))
        corner = rng.integers(self.corpus.side - size + 1, size=(count, 2))
        draws = augment.plain(
            np.concatenate([corner, np.full_like(corner, size)], 1), rng.random(count) < 0.5
        )
        real = augment.render(self.corpus, index, draws, side)
        found = {"image": self.channel(real, rng), "made": self.channel(made, rng)} | asked._asdict()
        return found | {"places": torch.stack([History.draw(rng, count, PAST) for _ in range(2)], 1)}

    def rendered(self, rows: Index, rng: np.random.Generator) -> tuple[Tensor, Surfaces]:
        """These views, cropped and flipped, (N, 3, S, S) in [0, 1], and what is asked of them."""
        count, side = len(rows), self.encoder.side
        corner = rng.integers(self.views.side - side + 1, size=(2, count, 1))
        line = np.arange(side)
        flip = rng.random(count) < 0.5
        down, across = corner[0] + line, corner[1] + np.where(flip[:, None], line[::-1], line)
        window = (rows[:, None, None], down[:, :, None], across[:, None, :])
        normals = self.views.normals[window].astype(np.float32) / 127
        normals[flip, ..., 0] *= -1  # left is right
        depth = self.views.depth[window].astype(np.float32)
        image = torch.from_numpy(self.views.images[window]).permute(0, 3, 1, 2).float() / 255
        return image, surfaces.halved(depth, normals, views.contours(self.views.ids[window]))

    def channel(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """One channel of each of (N, 3, S, S), drawn for it and repeated; all as they are without `gray`."""
        if not self.gray:
            return images
        rows = torch.arange(len(images))
        return (
            images[rows, torch.from_numpy(rng.integers(3, size=len(images)))].unsqueeze(1).repeat(1, 3, 1, 1)
        )

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        if player == 1:
            return self.judged(batch)
        with play.unremembered(self.encoder):
            deep = self.encoder.maps(batch["made"])[-1]
        predicted, true = self.heads(deep), Surfaces(*(batch[name] for name in Surfaces._fields))
        found = self.scores(predicted, true)
        costs = (found["depth"], found["normals"], found["contour"])
        loss = sum(
            (w * cost for w, cost in zip(self.weights, costs, strict=True)), torch.zeros_like(costs[0])
        )
        if self.critic is None:
            with torch.no_grad():
                self.encoder.maps(batch["image"])  # real pictures are what batch norm remembers
            return {"loss": loss} | found
        fooled = play.cross_entropy(play.fixed(self.critic, self.read(deep, predicted)), 1.0).mean()
        share = (self.progress / self.ramp).clamp(max=1)
        return {"loss": loss + self.adversarial * share * fooled, "adversarial": fooled} | found

    def scores(self, predicted: Surfaces, true: Surfaces) -> dict[str, Tensor]:
        """The three losses, and errors in units that people know."""
        depth, normals = (
            (predicted.depth, true.depth, true.valid),
            (predicted.normals, true.normals, true.valid),
        )
        return {
            "depth": surfaces.depth_loss(*depth),
            "normals": surfaces.normal_loss(*normals),
            "contour": surfaces.contour_loss(predicted.contour, true.contour),
            "depth_error": surfaces.depth_error(*depth).detach(),
            "normal_error": surfaces.normal_error(*normals).detach(),
        }

    def read(self, deep: Tensor, predicted: Surfaces) -> Tensor:
        """What the critic reads."""
        if self.reads == "features":
            return deep.float()
        return torch.cat([predicted.depth, predicted.normals, predicted.contour.sigmoid()], 1)

    def judged(self, batch: Batch) -> dict[str, Tensor]:
        """The critic's turn: the views' features first, those of real pictures last."""
        assert self.critic is not None
        with torch.no_grad():
            with play.unremembered(self.encoder):
                deep = self.encoder.maps(batch["made"])[-1]
            made = self.read(deep, self.heads(deep))
            deep = self.encoder.maps(batch["image"])[-1]
            real = self.read(deep, self.heads(deep))
            made, real = (
                past(x, batch["places"][:, k])
                for k, (past, x) in enumerate(zip(self.past, (made, real), strict=True))
            )
        false, true = self.critic(made), self.critic(real)
        return {"loss": play.critic_loss(true, false) / 2, "accuracy": play.accuracy(true, false)}

    def players(self) -> list[nn.Module]:
        return [self] if self.critic is None else [nn.ModuleList([self.encoder, self.heads]), self.critic]

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)

    def chance(self) -> dict[str, float]:
        """What the best answer without looking scores, at each place, on views drawn as in training."""
        rows = np.linspace(0, len(self.views) - 1, min(JUDGED, len(self.views))).astype(np.int64)
        true = self.rendered(rows, np.random.default_rng(0))[1]
        found = {name: float(value) for name, value in self.scores(surfaces.blind(true), true).items()}
        return found | ({"player1.accuracy": 0.5} if self.critic else {})

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        batch = self.batch(preview.some(self.corpus, rng), rng)
        true = Surfaces(*(batch[name] for name in Surfaces._fields))
        depth = (1 - true.depth.exp() / DEEP).clamp(0, 1) * true.valid
        rows: dict[str, Any] = {"rendered": batch["made"], "depth": depth}
        rows |= {
            "normals": (true.normals + 1) / 2 * true.valid,
            "contours": true.contour,
            "real": batch["image"],
        }
        preview.grid(out, rows)


def textures(corpus: Images, seed: int) -> views.Pictures:
    """Pictures of the corpus, linear, for surfaces: (n, PIECE, PIECE, 3). They say nothing of what is asked."""
    index = np.sort(np.random.default_rng(seed).permutation(len(corpus))[:TEXTURES])
    boxes = np.tile([0, 0, corpus.side, corpus.side], (len(index), 1))
    pieces = augment.render(corpus, index, augment.plain(boxes), PIECE)
    linear: views.Pictures = (pieces**views.GAMMA).permute(0, 2, 3, 1).contiguous().numpy()
    return linear
