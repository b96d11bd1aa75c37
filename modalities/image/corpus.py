"""Read a corpus of pictures: memory-mapped uint8 shards and what is known of each row.

artifacts/corpus/image/ holds images-00000.npy ... (n, H, W, 3), index.parquet (id, source, label, split),
rejected.csv and meta.json; tasks/NAME/ is another such folder for each further labelled set.
`modalities/image/ingest.py` writes them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """N pictures of one shape, in a fixed order, in one or more shards."""

    shards: Sequence[Pixels]  # each (n, H, W, 3)
    ids: list[str]
    labels: Index  # (N,), -1 where unknown
    splits: NDArray[np.str_]  # (N,), "train" or "test"
    classes: list[str]
    rows: Index  # (N,), where each picture lies when the shards are laid end to end
    folder: Path | None = None  # where what else is known of them lies, such as depth; None: nowhere
    device: "torch.device | None" = None  # where views are made, by torch; None: by the compiled kernel

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def side(self) -> int:
        """Height and width of every picture, in pixels."""
        return int(self.shards[0].shape[1])

    def only(self, split: str) -> "Images":
        keep = np.flatnonzero(self.splits == split)
        if not len(keep):
            raise ValueError(
                f"the corpus has no picture in its {split} split; see `test` in params.yaml, image.ingest"
            )
        return self.take(keep)

    def tasks(self) -> dict[str, "Images"]:
        found = sorted(self.folder.glob("tasks/*/meta.json")) if self.folder else []
        return {meta.parent.name: corpus(meta.parent) for meta in found}

    def take(self, keep: Index) -> "Images":
        """These rows, in this order."""
        return replace(
            self,
            ids=[self.ids[k] for k in keep],
            labels=self.labels[keep],
            splits=self.splits[keep],
            rows=self.rows[keep],
        )

    def on(self, device: "torch.device") -> "Images":
        """The same, with its views made on a device: for a GPU that the CPU cannot feed."""
        return replace(self, device=device)

    def show(self, index: Index) -> list[Pixels]:
        """The pictures themselves."""
        return list(self.pixels(index))

    def parts(self, index: Index) -> Iterator[tuple[Pixels, Index, Index]]:
        """For each shard that holds some of these samples: (shard, rows in it, their places in `index`)."""
        ends = np.cumsum([len(shard) for shard in self.shards])
        rows = self.rows[index]
        where = np.searchsorted(ends, rows, side="right")
        for k in np.unique(where):
            places = np.flatnonzero(where == k)
            yield self.shards[k], rows[places] - (ends[k] - len(self.shards[k])), places

    def pixels(self, index: Index) -> Pixels:
        """(n, H, W, 3), copied out of the shards."""
        out = np.empty((len(index), *self.shards[0].shape[1:]), np.uint8)
        for shard, rows, places in self.parts(index):
            out[places] = shard[rows]
        return out


def corpus(path: Path) -> Images:
    """Open what ingest wrote; the pixels stay on disk until they are read."""
    import pyarrow.parquet as pq

    if not (path / "meta.json").exists():
        raise FileNotFoundError(f"{path} holds no corpus; run `dvc repro` first")
    classes = json.loads((path / "meta.json").read_text())["classes"]
    number = {name: k for k, name in enumerate(classes)}
    table = pq.read_table(path / "index.parquet").to_pydict()
    return Images(
        shards=[np.load(shard, mmap_mode="r") for shard in sorted(path.glob("images-*.npy"))],
        ids=table["id"],
        labels=np.array([-1 if name is None else number[name] for name in table["label"]], np.int64),
        splits=np.array(table["split"]),
        classes=classes,
        rows=np.arange(len(table["id"])),
        folder=path,
    )
