"""Tracking: a patch that was followed through a video lies nearer its later self than any patch of another video.

Wang and Gupta, ICCV 2015, arXiv:1505.00687. With D(x, y) = 1 - cos(x, y), x a patch, x+ the same one later and x- one
of another video, the loss ranks: max(0, D(x, x+) - D(x, x-) + margin), over `negatives` patches x- of the batch, drawn
at random at first and the nearest ones later. `build` finds the patches by what moves on its own (mining/tracks.py).
No place is predicted: where a patch went is asked by the evaluations.

No patch of the same video is a negative, so a batch needs many videos. `mirror` ranks from x+ too, as the authors' code
does. N pairs, W of them on all ranks, D = encoder.dim.
"""

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common.distributed import gather, rank, unit
from modalities.image import augment
from modalities.image.shared.rendering import Part, on_cpu
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.mining import survey
from modalities.video.mining.tracks import Rule, Track
from modalities.video.shared import sheet
from modalities.video.shared.sheet import Cell

RED = (230, 25, 25)
SHOWN = 5  # tracks of the preview


class Tracking(Pretext):
    corpus: Videos
    encoder: Frames
    progress: Tensor

    def __init__(
        self,
        encoder: Frames,
        corpus: Videos,
        built: Path,
        *,
        margin: float,
        negatives: int,
        hard_after: float,
        mirror: bool,
        width: int,
        crop: list[float],
    ) -> None:
        super().__init__(encoder, corpus, built)
        for name, value, wrong, want in (
            ("margin", margin, margin <= 0, "a distance above 0, on the scale of 1 - cosine"),
            ("negatives", negatives, negatives < 1, "at least 1"),
            ("hard_after", hard_after, not 0 < hard_after <= 1, "a share of the run above 0, or it collapses"),
            ("width", width, width < 1, "at least 1"),
            ("crop", crop, len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1, "two shares of the area, from and to"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(f"tracking.model.{name} is {value}; use {want}")
        self.margin, self.negatives, self.hard_after, self.mirror = margin, negatives, hard_after, mirror
        self.crop = crop
        self.videos, self.patches = read(built)
        self.head = nn.Linear(encoder.encoder.dim, width)
        self.register_buffer("progress", torch.zeros(()))

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Videos,
        out: Path,
        *,
        seed: int,
        every: float,
        moving: float,
        share: list[float],
        box: float,
        seconds: float,
        per_video: int,
        side: int,
    ) -> None:
        """Write tracks.parquet, patches.u8, (n, 2, side, side, 3), and how many they are in tracks.json.

        Nothing is drawn, so the seed changes nothing. Raises ValueError for settings that find no track, and where
        fewer than two videos have one.
        """
        _check(every, moving, share, box, seconds, per_video, side)
        rule = Rule(every, moving, share[0], share[1], box, seconds, per_video)
        found = survey.over(corpus, survey.LookForTracks(rule, side), "build video tracking")
        counts = Counter(video for video, (tracks, _) in enumerate(found) for _ in tracks)
        if len(counts) < 2:
            raise ValueError(
                f"tracking.build: {len(counts)} of {len(corpus)} videos has a patch that moves on its own for {seconds}"
                " s, and two are needed, for negatives come from another; lower moving, share or seconds, or add videos"
            )
        rows = [(video, track) for video, (tracks, _) in enumerate(found) for track in tracks]
        _write(out, rows)
        np.concatenate([patches for _, patches in found]).tofile(out / "patches.u8")
        about = {"videos": len(corpus), "videos_with": len(counts), "tracks": len(rows), "side": side}
        (out / "tracks.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")

    def samples(self) -> int:
        return len(self.videos)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Pairs of patches, (N, 2, 3, S, S), each cropped on its own and both flipped alike, and their videos."""
        stored, side = self.patches, self.patches.shape[2]
        boxes = augment.crop_boxes(rng, 2 * len(index), side, self.crop, (1.0, 1.0))
        draws = augment.plain(boxes, (rng.random(len(index)) < 0.5).repeat(2))
        starts = (index[:, None] * 2 + np.arange(2)).reshape(-1) * side * side * 3
        shapes = np.full((len(starts), 2), side)
        part = Part(stored.reshape(-1), starts, shapes, np.arange(len(starts)))
        parameters = [getattr(draws, field.name) for field in fields(draws)]
        made = on_cpu([part], parameters, self.encoder.side)
        pairs = made.view(len(index), 2, *made.shape[1:])
        return {"patches": pairs, "video": torch.from_numpy(self.videos[index])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        count = len(batch["patches"])
        codes = unit(self.head(self.encoder.vectors(batch["patches"].flatten(0, 1)))).view(
            count, 2, -1
        )  # (N, 2, width)
        every, videos = gather(codes), gather(batch["video"])
        candidates, theirs = every.flatten(0, 1), videos.repeat_interleave(2)  # (2W, width), (2W,)
        ways = 2 if self.mirror else 1
        # Drawn for all ranks and cut, so that two processes draw what one would.
        drawn = torch.rand(len(every), ways, len(theirs), device=codes.device)
        mine = drawn[rank() * count : (rank() + 1) * count].flatten(0, 1)  # (N * ways, 2W)
        anchors, positives = codes[:, :ways].flatten(0, 1), codes.flip(1)[:, :ways].flatten(0, 1)
        near = anchors @ candidates.T  # (N * ways, 2W), cosines
        other = batch["video"].repeat_interleave(ways)[:, None] != theirs
        pair = (anchors * positives).sum(1, keepdim=True)
        order = torch.where(self.progress >= self.hard_after, near.detach(), mine)
        hinges, there = ranking(near, pair, other, order, self.negatives, self.margin)
        first = (near.masked_fill(~other, -torch.inf) < pair).all(1).float()
        return {
            "loss": hinges.sum() / len(anchors),
            "active": (hinges > 0).sum() / there.sum().clamp_min(1),
            "nearest": first.mean(),
            "nearest.chance": (1 / (1 + other.sum(1))).mean(),
        }

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        import pyarrow.parquet as pq

        table = pq.read_table(self.built / "tracks.parquet").to_pydict()
        rows = []
        for k in np.sort(rng.permutation(self.samples())[:SHOWN]).tolist():
            video, cells = table["video"][k], []
            for end, words in ((0, "a box moves"), (1, "{:.1f} s later")):
                number, box = table[f"frame{end}"][k], table[f"box{end}"][k]
                frame = self.corpus.clip(video, number, number + 1)[0]
                seconds = (number - table["frame0"][k]) / self.corpus.fps[video]
                cells.append(Cell(sheet.boxed(frame, box, RED), words.format(seconds)))
            far = rng.choice(np.flatnonzero(self.videos != video))
            cells += [Cell(self.patches[k, 0], "patch"), Cell(self.patches[k, 1], "must be nearer")]
            rows.append(("", [*cells, Cell(self.patches[far, 0], "than another video's")]))
        sheet.write(out, rows)


def ranking(
    near: Tensor, pair: Tensor, allowed: Tensor, order: Tensor, count: int, margin: float
) -> tuple[Tensor, Tensor]:
    """Hinges (n, K) of each anchor against the `count` allowed candidates that come first in `order`, and which exist.

    `near` (n, M) are cosines with the candidates, `pair` (n, 1) those with the anchor's own pair; `allowed` and `order`
    are (n, M). D(x, x+) - D(x, x-) is a difference of cosines. Where fewer are allowed, the rest is 0.
    """
    score = order.masked_fill(~allowed, -torch.inf)
    best = score.topk(min(count, score.shape[1]), dim=1)
    there = best.values > -torch.inf
    hinges = (near.gather(1, best.indices) - pair + margin).clamp_min(0)
    return hinges * there, there


def read(built: Path) -> tuple[Index, NDArray[np.uint8]]:
    """What `build` wrote: the video of each track, (n,), and its two patches, (n, 2, side, side, 3), memory-mapped."""
    import pyarrow.parquet as pq

    file = built / "tracks.parquet"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no tracks; run `dvc repro` first")
    videos = pq.read_table(file, columns=["video"])["video"].to_numpy()
    side = json.loads((built / "tracks.json").read_text())["side"]
    return videos, np.memmap(built / "patches.u8", np.uint8, "r", shape=(len(videos), 2, side, side, 3))


def _check(
    every: float, moving: float, share: list[float], box: float, seconds: float, per_video: int, side: int
) -> None:
    """Raise ValueError, naming the key, for settings that no track satisfies."""
    for name, value, wrong, want in (
        ("every", every, every <= 0, "seconds above 0"),
        ("moving", moving, moving <= 0, "short sides a second above 0, such as 0.033"),
        ("share", share, len(share) != 2 or not 0 <= share[0] < share[1] <= 1, "two shares of points, from and to"),
        ("box", box, not 0 < box <= 1, "a share of the short side, above 0 and up to 1"),
        ("seconds", seconds, seconds <= 0, "seconds above 0"),
        ("per_video", per_video, per_video < 1, "at least 1"),
        ("side", side, side < 8, "at least 8 pixels"),
    ):  # fmt: skip
        if wrong:
            raise ValueError(f"tracking.build.{name} is {value}; use {want}")


def _write(out: Path, rows: list[tuple[int, Track]]) -> None:
    """tracks.parquet: boxes are (top, left, height, width) in pixels of the stored frames."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    box = pa.list_(pa.float32(), 4)
    columns: dict[str, object] = {"video": [video for video, _ in rows]}
    for name in ("frame0", "box0", "frame1", "box1", "moving", "points", "error"):
        values = [getattr(track, name) for _, track in rows]
        columns[name] = pa.array([v.tolist() for v in values], box) if name.startswith("box") else values
    pq.write_table(pa.table(columns), out / "tracks.parquet")
