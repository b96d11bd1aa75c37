"""Split-brain: two networks of half the width each see some of a picture's channels and predict the others.

Zhang, Isola and Efros, CVPR 2017, arXiv:1611.09842. `pair: lab`: from L the colours ab, from ab the lightness, both as
one-hot classes or by L2. `pair: depth`: from RGB the HHA of depth, from HHA the colours and the lightness. The halves
share nothing, neither weights nor statistics nor inputs. Exported: both side by side on RGB; with depth the RGB half,
the other riding along. Grey pictures are left out and counted by `build`.

Departure: the trunks are the encoder of all methods at half its width, not an AlexNet in two groups, and each has a
small head that is thrown away.
N images, S side, h and w places.
"""

import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from modalities.base import Batch, Encoder, Index, Pretext
from modalities.image import encoders
from modalities.image.augment import crop_flip
from modalities.image.corpus import Images
from modalities.image.shared import colour_bins, preview
from modalities.image.shared.colour_bins import Built
from modalities.image.shared.dense import Dense, places
from modalities.image.shared.depth import depths, read_hha, write_hha
from modalities.image.shared.pairs import DepthPair, LabPair

JUDGED = 2000  # pictures that a blind guess is measured on


class SplitBrain(Pretext):
    corpus: Images
    encoder: encoders.SplitBrain | encoders.RgbDepth

    def __init__(
        self,
        encoder: encoders.ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        loss: Literal["classes", "l2"],
        lightness_bins: int,
        ab_weight: float,
        temperature: float,
        channels: int,
    ) -> None:
        found = Built.load(built)
        depth = (built / "hha.npy").exists()
        _check(loss, lightness_bins, ab_weight, temperature, depth)
        kept = corpus.take(found.rows)
        bins: dict[str, Any] = {"lightness_bins": lightness_bins, "temperature": temperature}
        pair = DepthPair(found, ab_weight=ab_weight, **bins) if depth else LabPair(found, loss=loss, **bins)
        first, second = halves(encoder, pair.inputs)
        both: Encoder
        if depth:
            both = encoders.RgbDepth(colour=first, depth=second)
        else:
            both = encoders.SplitBrain(lightness=first, colour=second)
        super().__init__(both, kept, built)
        self.pair = pair
        self.beside: tuple[Images, ...] = read_hha(kept, built) if depth else ()
        side = places(encoder.side, found.stride, "splitbrain.build.stride")
        self.first, self.second = (
            Dense(half, inputs=n, channels=channels, out=out, places=side, key="splitbrain.model")
            for half, n, out in zip((first, second), pair.inputs, pair.outs, strict=True)
        )

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Images,
        out: Path,
        *,
        seed: int,
        pair: Literal["lab", "depth"],
        step: float,
        least_chroma: float,
        stride: int,
    ) -> None:
        key = "splitbrain.build.pair"
        if pair not in ("lab", "depth"):
            raise ValueError(f"{key} is {pair}; use lab or depth")
        if pair == "depth":
            depths(corpus, key)  # before the long part
        # A uniform share of 1: every cell weighs the same, whatever the smoothing.
        keys = {"step": step, "smoothing": step, "uniform": 1.0, "least_chroma": least_chroma}
        colour_bins.write(corpus, out, method="splitbrain", stride=stride, **keys)
        if pair == "depth":
            write_hha(corpus.take(Built.load(out).rows), out, key)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        # The same chance for all: one crop and flip of the picture, of its HHA and of where that is known.
        drawn = [
            crop_flip(each, index, self.encoder.side, copy.deepcopy(rng))
            for each in (self.corpus, *self.beside)
        ]
        return dict(zip(("image", "hha", "known"), drawn, strict=False))

    def predicted(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """What each half makes, of its own channels, of the other's: float32, (N, out, h, w)."""
        if isinstance(self.encoder, encoders.SplitBrain):
            mine, other = self.encoder.lightness, self.encoder.colour
        else:
            mine, other = self.encoder.colour, self.encoder.depth
        return self.first(mine.maps(first)).float(), self.second(other.maps(second)).float()

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        if isinstance(self.encoder, encoders.SplitBrain):
            first, second = self.encoder.halves(batch["image"])
        else:
            first, second = batch["image"], batch["hha"]
        found: dict[str, Tensor] = self.pair(*self.predicted(first, second), batch)
        return found

    def chance(self) -> dict[str, float]:
        """What guessing without looking scores, on pictures drawn as in training."""
        rows = np.linspace(0, len(self.corpus) - 1, min(JUDGED, len(self.corpus))).astype(np.int64)
        device = self.pair.mean.device
        batch = {name: x.to(device) for name, x in self.batch(rows, np.random.default_rng(0)).items()}
        return {name: float(value) for name, value in self.pair.chance(batch).items()}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        preview.grid(out, self.pair.rows(self.batch(preview.some(self.corpus, rng), rng)))


def halves(encoder: encoders.ImageEncoder, inputs: tuple[int, int]) -> tuple[Encoder, Encoder]:
    """Two networks like this one, of half its width, for so many channels each: together they cost less than it."""
    width, arch = encoder.spec.get("width"), encoder.spec["arch"]
    if width is None:
        raise ValueError(
            f"splitbrain halves a ResNet, but image.encoder.arch is {arch}; use resnet18, 34 or 50"
        )
    if width % 2:
        raise ValueError(f"image.encoder.width is {width}, which splitbrain halves; use an even number")
    first, second = (encoder.like(width=width // 2, channels=count) for count in inputs)
    return first, second


def _check(loss: Any, lightness_bins: int, ab_weight: float, temperature: float, depth: bool) -> None:
    """Raise ValueError, naming the key, for settings that make no task."""
    key = "splitbrain.model"
    if loss not in ("l2", "classes"):
        raise ValueError(f"{key}.loss is {loss}; use classes or l2")
    if depth and loss == "l2":
        raise ValueError(f"{key}.loss is l2, but with depth colours are classes; set it to classes")
    if not 2 <= lightness_bins <= 100:
        raise ValueError(f"{key}.lightness_bins is {lightness_bins}; use 2 to 100")
    for name, value in (("ab_weight", ab_weight), ("temperature", temperature)):
        if value <= 0:
            raise ValueError(f"{key}.{name} is {value}; use a positive number")
