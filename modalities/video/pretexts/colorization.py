"""Colorization: give a grey frame the colours of earlier frames, by pointing at where each colour lies there.

Vondrick et al., ECCV 2018, arXiv:1806.09594. Colours are those of `clusters` k-means centroids of ab, of frames
averaged over the places of the encoder's map; the network sees L alone, in training and ever after. A colour that no
reference has cannot be pointed at: such places are left out of the loss and counted.

Departures: no convolutions over time by default, as in the later line of work (CorrFlow, TimeCycle, MAST): a frame's
map then depends on that frame alone. `temporal` adds five, after the embedding, with the position of each place; they
are not exported, and their layout is of the paper's text, which leaves some of it open. The trunk is at most 8 pixels
coarse: where the encoder of all methods is coarser, one that is not takes its place.
N clips, T frames of which the last is the target, S side, h and w places, E width of an embedding, K colours.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.common.kmeans import kmeans
from modalities.image.networks.lab import to_lab, to_rgb
from modalities.image.shared.dense import weighted_mean
from modalities.video.augment import crop_flip
from modalities.video.corpus import Videos
from modalities.video.encoders import FINE, FrameNet, Frames, Lightness, Pointing
from modalities.video.mining.colours import colours, spread_out
from modalities.video.shared import sheet
from modalities.video.shared.pointing import Temporal, copied, cost, similarity
from modalities.video.shared.sheet import Cell

ITERATIONS = 50  # of k-means
SHOWN = 5  # clips of the preview


class Colorization(Pretext):
    corpus: Videos
    encoder: Frames
    centroids: Tensor

    def __init__(
        self,
        encoder: Frames,
        corpus: Videos,
        built: Path,
        *,
        side: int,
        references: int,
        temperature: float,
        unit: bool,
        width: int,
        temporal: bool,
    ) -> None:
        key = "colorization.model"
        for name, value, wrong, want in (
            ("side", side, side < FINE or side % FINE, f"a multiple of {FINE} pixels"),
            ("references", references, references < 1, "at least 1 frame"),
            ("temperature", temperature, temperature <= 0, "a positive number"),
            ("width", width, width < 1, "at least 1"),
        ):
            if wrong:
                raise ValueError(f"{key}.{name} is {value}; use {want}")
        trunk = encoder.encoder
        if isinstance(trunk, FrameNet) and trunk.spec["stride"] > FINE:
            trunk = trunk.like(stride=FINE)
        pointing = Pointing(encoder=Lightness(encoder=trunk), width=width)
        super().__init__(encoder.around(pointing), corpus, built)
        self.side, self.references, self.temperature, self.unit = side, references, temperature, unit
        found, fps = read(built)
        self.register_buffer("centroids", found)
        self.steps = np.maximum(1, np.rint(corpus.fps / fps)).astype(
            np.int64
        )  # stored frames between two shown
        self.windows = windows(corpus, self.steps, references)
        self.temporal = Temporal(width) if temporal else nn.Identity()

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Videos, out: Path, *, seed: int, clusters: int, pixels: int, fps: float
    ) -> None:
        """Write the centroids of the ab of random pixels, (K, 2), and their shares to centroids.safetensors.

        Raises ValueError for settings that make no colours, and where the videos have too few.
        """
        from safetensors.torch import save_file

        for name, value, wrong, want in (
            ("clusters", clusters, clusters < 2, "at least 2 colours"),
            ("pixels", pixels, pixels < clusters, f"at least clusters ({clusters}), better a hundred times that"),
            ("fps", fps, fps <= 0, "frames a second above 0"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"colorization.build.{name} is {value}; use {want}")
        rng = np.random.default_rng(seed)
        ab = colours(corpus, pixels, rng)
        different = len(np.unique(ab.numpy(), axis=0))
        if different < clusters:
            raise ValueError(
                f"colorization.build.clusters is {clusters}, but {len(ab)} pixels have {different} colours; are the "
                "videos grey? Use fewer clusters, or other videos"
            )
        found = kmeans(ab, spread_out(ab, clusters, rng), iterations=ITERATIONS, spherical=False)
        shares = torch.bincount(found.labels, minlength=clusters) / len(ab)
        save_file({"centroids": found.centroids, "shares": shares}, out / "centroids.safetensors")
        about = {"clusters": clusters, "fps": fps, "pixels": len(ab)}
        (out / "centroids.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    def samples(self) -> int:
        return len(self.windows)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Clips (N, T, 3, S, S), their frames under one crop and one flip."""
        videos, starts = self.windows[index].T
        frames = starts[:, None] + self.steps[videos][:, None] * np.arange(self.references + 1)
        made = crop_flip(self.corpus, videos, frames, self.side, rng)
        return {"frames": made.transpose(1, 2).contiguous()}

    def labels(self, frames: Tensor, places: torch.Size) -> Tensor:
        """Which centroid the colour of each place is nearest to, (M, h, w), of frames (M, 3, S, S)."""
        mean = F.adaptive_avg_pool2d(frames.float(), (places[0], places[1]))
        ab = to_lab(mean)[:, 1:].permute(0, 2, 3, 1)
        return (
            torch.cdist(ab.flatten(1, 2), self.centroids.expand(len(ab), -1, -1)).argmin(2).view(ab.shape[:3])
        )

    def compared(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Similarity (N, P, R) of the places of target and references, and the colours of both: (N, R), (N, P)."""
        count, length = frames.shape[:2]
        flat = frames.flatten(0, 1)
        embedding = self.encoder.maps(flat)[-1]  # (NT, E, h, w)
        label = self.labels(flat, embedding.shape[2:]).view(count, length, -1)  # (N, T, hw)
        embedding = self.temporal(embedding.view(count, length, *embedding.shape[1:]))
        places = embedding.flatten(3).mT  # (N, T, hw, E)
        similar = similarity(places[:, -1], places[:, :-1].flatten(1, 2), self.temperature, self.unit)
        return similar, label[:, :-1].flatten(1), label[:, -1]

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        similar, reference, target = self.compared(batch["frames"])
        each, there = cost(similar, reference, target)
        with torch.no_grad():
            predicted = copied(similar, reference, len(self.centroids)).argmax(2)
            commonest = F.one_hot(reference, len(self.centroids)).sum(1).argmax(1, keepdim=True)
            before = reference[:, -target.shape[1] :]
        return {
            "loss": weighted_mean(each, there.float()),
            "accuracy": (predicted == target).float().mean(),
            "accuracy.chance": (commonest == target).float().mean(),  # all of the clip's commonest colour
            "copy": (before == target)
            .float()
            .mean(),  # the colour that the same place had in the frame before
            "unmatched": (~there).float().mean(),
        }

    @torch.no_grad()
    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = np.sort(rng.permutation(self.samples())[:SHOWN])
        frames = self.batch(index, rng)["frames"]
        training = self.training
        similar, reference, target = self.eval().compared(frames)
        self.train(training)
        guessed = copied(similar, reference, len(self.centroids)).argmax(2)
        side = round(target.shape[1] ** 0.5)
        lightness = to_lab(F.adaptive_avg_pool2d(frames[:, -1], side))[:, :1]
        asked, answer = (
            to_rgb(torch.cat([lightness, self.centroids[x].view(-1, side, side, 2).permute(0, 3, 1, 2)], 1))
            for x in (target, guessed)
        )
        gray = to_lab(frames[:, -1])[:, :1] / 100
        columns = [(frames[:, k], f"reference {k + 1}") for k in range(self.references)]
        columns += [(gray, "later, shown"), (asked, "its colours, asked"), (answer, "guessed, untrained")]
        cells = [[Cell(x, words) for x in sheet.shown(images)] for images, words in columns]
        sheet.write(out, [("", row) for row in zip(*cells, strict=True)])


def read(built: Path) -> tuple[Tensor, float]:
    """What `build` wrote: the centroids, (K, 2), and how many frames a second are shown."""
    from safetensors.torch import load_file

    file = built / "centroids.safetensors"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no centroids; run `dvc repro` first")
    return load_file(file)["centroids"], json.loads((built / "centroids.json").read_text())["fps"]


def windows(corpus: Videos, steps: Index, references: int) -> Index:
    """(n, 2): video and first frame of every clip that fits into a shot. Raises ValueError where none does."""
    video, start, stop = corpus.shot_table().T
    counts = np.maximum(0, stop - start - references * steps[video])
    first = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    if not len(first):
        raise ValueError(
            f"colorization.model.references is {references}, and no shot of {len(corpus)} videos is that long; use "
            "fewer, raise colorization.build.fps, or add longer videos"
        )
    return np.stack([np.repeat(video, counts), np.repeat(start, counts) + first], 1)
