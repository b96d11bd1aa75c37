"""Frame order: say whether the middle frame of three lies in time between the outer two.

"Shuffle and learn": Misra, Zitnick and Hebert, ECCV 2016, arXiv:1603.08561. Of five frames a < b < c < d < e from
where a video moves, (b, c, d) is in order; (b, a, d) and (b, e, d) are not. Either may be shown backwards: which way
time runs is not asked.

All three frames share a crop and a flip, since a crop of each one's own would tell their order by a moved ground;
colour is jittered frame by frame, and some frames are left with one channel, so that no fade or flicker tells it. The
mean over places of the shared encoder stands for the paper's fully connected layers.

Departure: the paper's head, linear in the three vectors side by side (`distances: false`), adds up a score of each
frame, and no such sum says "between": it can only ask whether a frame looks like the middle of its video. That helps
where a video is one action from start to end, and not where things go to and fro. With `distances` the head also sees
how far apart each two of the vectors are, number by number, of which a plane can say it.
N tuples, n of a video, S side, E numbers of a frame's vector.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.image.augment import Draws, Recipe, colours, draw_jitter, plain
from modalities.video.augment import crop_boxes, cut
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.mining import survey
from modalities.video.shared import sheet
from modalities.video.shared.sheet import Cell

OUTER = (1, 3)  # b and d
MIDDLE = (2, 0, 4)  # c is in between, a and e are not
ANSWERS = ("yes", "no")
SHOWN = 5  # tuples of the preview


def read(built: Path) -> tuple[Index, Index]:
    """What `build` wrote: the video of each tuple, (N,), and its frames a to e, (N, 5)."""
    import pyarrow.parquet as pq

    file = built / "tuples.parquet"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no tuples; run `dvc repro` first")
    table = pq.read_table(file)
    return table["video"].to_numpy(), np.stack([table[name].to_numpy() for name in "abcde"], 1)


class FrameOrder(Pretext):
    corpus: Videos
    encoder: Frames

    def __init__(
        self,
        encoder: Frames,
        corpus: Videos,
        built: Path,
        *,
        negatives: float,
        crop: list[float],
        jitter: list[float],
        dropped: float,
        distances: bool,
    ) -> None:
        super().__init__(encoder, corpus, built)
        key = "frame_order.model"
        for name, value in (("negatives", negatives), ("dropped", dropped)):
            if not 0 <= value <= 1:
                raise ValueError(f"{key}.{name} is {value}; use a probability, 0 to 1")
        self.recipe = Recipe(
            scale=crop, jitter=jitter, jitter_share=1.0, gray=0.0, blur=0.0, solarise=0.0, flip=0.5
        )
        self.negatives, self.dropped = negatives, dropped
        self.videos, self.tuples = read(built)
        self.distances = distances
        self.head = nn.Linear((6 if distances else 3) * encoder.encoder.dim, 2)

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Videos,
        out: Path,
        *,
        seed: int,
        tuples: int,
        span_max: float,
        gap_min: float,
        similar: float,
    ) -> None:
        """Write motion.f32, a value for each frame of the corpus, tuples.parquet, and how many they are in tuples.json.

        Raises ValueError for settings that make no tuple, and where no video yields one.
        """
        _check(tuples, span_max, gap_min, similar)
        look = survey.LookForTuples(tuples, span_max, gap_min, similar, seed)
        found = survey.over(corpus, look, "build video frame_order")
        np.concatenate([moved for moved, _, _ in found]).astype("<f4").tofile(out / "motion.f32")
        counts = np.array([len(rows) for _, rows, _ in found])
        if not counts.any():
            raise ValueError(
                f"frame_order.build: none of {len(corpus)} videos yields a tuple: all are shorter than twice gap_min "
                f"({gap_min} s) or nothing moves in them; lower gap_min, or add longer videos"
            )
        rows, moved = (np.concatenate([each[k] for each in found]) for k in (1, 2))
        _write(out, np.repeat(np.arange(len(corpus)), counts), rows, moved)
        about = {
            "videos": len(corpus),
            "videos_without": int((counts == 0).sum()),  # too short, or nothing moves
            "tuples": int(counts.sum()),
        }
        (out / "tuples.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    def samples(self) -> int:
        return len(self.tuples)

    def draw(self, index: Index, rng: np.random.Generator) -> tuple[Index, Index]:
        """Which frames of these tuples are shown, (n, 3), and which of c, a and e is in the middle, (n,): 0, 1 or 2."""
        count = len(index)
        which = np.where(rng.random(count) < self.negatives, rng.integers(1, 3, count), 0)
        first, last = np.where(rng.random(count) < 0.5, [[OUTER[0]], [OUTER[1]]], [[OUTER[1]], [OUTER[0]]])
        columns = np.stack([first, np.array(MIDDLE)[which], last], 1)
        return np.take_along_axis(self.tuples[index], columns, 1), which

    def looks(self, videos: Index, rng: np.random.Generator) -> Draws:
        """One crop and flip for the three frames of a tuple, and colours of each frame's own."""
        count = len(videos)
        boxes = crop_boxes(rng, self.corpus.sizes[videos], self.recipe.scale).repeat(3, 0)
        flips = (rng.random(count) < self.recipe.flip).repeat(3)
        colour = colours(draw_jitter(rng, 3 * count, self.recipe), np.zeros(3 * count, np.bool_))
        # Left with one channel, shown three times: a row of the colour matrix, repeated.
        one = np.take_along_axis(colour, rng.integers(3, size=(3 * count, 1, 1)), 1)
        dropped = (rng.random(3 * count) < self.dropped)[:, None, None]
        return replace(plain(boxes, flips), colour=np.where(dropped, one, colour))

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        frames, which = self.draw(index, rng)
        videos = self.videos[index]
        side = self.encoder.side
        made = cut(self.corpus, videos.repeat(3), frames.reshape(-1), self.looks(videos, rng), side)
        return {
            "frames": made.view(len(index), 3, 3, side, side),
            "label": torch.from_numpy(which == 0).long(),
        }

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        frames, label = batch["frames"], batch["label"]  # (n, 3 frames, 3, S, S), (n,): 1 in order
        vectors = self.encoder.vectors(frames.flatten(0, 1)).view(len(frames), 3, -1)  # (n, 3, E)
        logits = self.head(self.seen(vectors))
        right = (logits.argmax(1) == label).float()
        return {
            "loss": F.cross_entropy(logits, label),
            "accuracy": right.mean(),
            "balanced_accuracy": balanced(right, label),
        }

    def seen(self, vectors: Tensor) -> Tensor:
        """What the head is shown of the vectors of three frames, (n, 3, E): (n, 3E), or with distances (n, 6E)."""
        if not self.distances:
            return vectors.flatten(1)
        # Distances are small beside the vectors, and what counts is which of them is the largest.
        apart = F.layer_norm((vectors - vectors.roll(-1, 1)).abs().flatten(1), [vectors[0].numel()])
        return torch.cat([vectors.flatten(1), apart], 1)

    def chance(self) -> dict[str, float]:
        return {"accuracy": max(self.negatives, 1 - self.negatives), "balanced_accuracy": 0.5}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        index = rng.permutation(self.samples())[: 8 * SHOWN]
        frames, which = self.draw(index, rng)
        some = np.argsort(which > 0, kind="stable")  # of each answer some, however rare it is
        some = np.concatenate([some[: SHOWN // 2], some[SHOWN // 2 :][::-1][: SHOWN - SHOWN // 2]])
        index, frames, which = index[some], frames[some], which[some]
        videos, side = self.videos[index], sheet.HEIGHT
        made = cut(self.corpus, videos.repeat(3), frames.reshape(-1), self.looks(videos, rng), side)
        pictures = iter(sheet.shown(made))
        rows = []
        for video, numbers, answer in zip(videos, frames, which, strict=True):
            times = (numbers - numbers.min()) / self.corpus.fps[video]
            cells = [Cell(next(pictures), f"{time:.1f} s") for time in times]
            rows.append(("in order?", [*cells, Cell(None, ANSWERS[int(answer > 0)])]))
        sheet.write(out, rows)


def balanced(right: Tensor, label: Tensor) -> Tensor:
    """The mean over the classes that are there of the share of right answers: guessing the commonest gains nothing."""
    there = torch.stack([label == k for k in (0, 1)]).float()  # (2, n)
    counts = there.sum(1)
    return ((there @ right) / counts.clamp_min(1)).sum() / (counts > 0).sum()


def _check(tuples: int, span_max: float, gap_min: float, similar: float) -> None:
    """Raise ValueError, naming the key, for settings that no tuple satisfies."""
    for name, value, wrong, want in (
        ("tuples", tuples, tuples < 1, "at least 1 a video"),
        ("gap_min", gap_min, gap_min <= 0, "seconds above 0"),
        (
            "span_max",
            span_max,
            span_max < gap_min,
            f"at least gap_min ({gap_min} s), the least between a and b",
        ),
        ("similar", similar, not 0 <= similar < 1, "a share from 0 up to, but not, 1"),
    ):
        if wrong:
            raise ValueError(f"frame_order.build.{name} is {value}; use {want}")


def _write(out: Path, videos: Index, rows: Index, motion: NDArray[np.float32]) -> None:
    """tuples.parquet: the video of each tuple, its five frames, and the motion between b and d, in short sides."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"video": videos} | dict(zip("abcde", rows.T, strict=True)) | {"motion": motion}
    pq.write_table(pa.table(columns), out / "tuples.parquet")
