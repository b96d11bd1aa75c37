"""The contract: what a corpus, an encoder and a pretext method are.

Everything else in the project is written against these classes. N is the batch, D = `encoder.dim`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Batch = dict[str, Tensor]
Index = NDArray[np.int64]
Encode = Callable[[Index], Tensor]


class Corpus(Protocol):
    """Samples in a fixed order. Everything random is the caller's.

    Stages hand a pretext the training split alone, so sample numbers are rows.
    """

    ids: list[str]  # stable names: the same file keeps its id when others come and go
    labels: Index  # (N,), -1 where unknown; only `supervised` and the evaluations read them
    splits: NDArray[np.str_]  # (N,), "train" or "test"
    classes: list[str]  # what the labels are called

    def __len__(self) -> int: ...

    def only(self, split: str) -> Self:
        """The rows of one split, in the same order."""
        ...

    def show(self, index: Index) -> list[NDArray[np.uint8]] | list[str]:
        """What a person may look at of these samples: a picture (h, w, 3) of each, or its first words."""
        ...

    def tasks(self) -> dict[str, Self]:
        """Further labelled sets by name, on which encoders are judged; none is ever trained on them."""
        ...


class Encoder(nn.Module):
    """Maps a batch to one vector a sample: the only thing downstream ever sees.

    What it needs to know of raw data (normalisation constants, vocabulary) is inside it, as buffers or extra
    state. `spec` holds what rebuilds it: its class name under "class", then its keyword arguments, other
    encoders as their own specs.
    """

    dim: int
    spec: dict[str, Any]

    def read(self, corpus: Any, index: Index) -> Tensor:
        """Samples as this encoder eats them, without augmentation."""
        raise NotImplementedError

    def maps(self, x: Tensor) -> list[Tensor]:
        """Dense features [(N, C, h, w), ...], coarse last, where the architecture has them."""
        raise NotImplementedError(f"{type(self).__name__} has no dense features")

    def export(self, out: Path) -> None:
        """Write into the folder `out` what another library loads, where one knows this network. By default nothing."""

    def like(self, **changes: Any) -> "Encoder":
        """A fresh one of the same kind: split-brain halves, critics, patch networks."""
        arguments = {key: value for key, value in self.spec.items() if key != "class"}
        return type(self)(**(arguments | changes))


class Pretext(nn.Module):
    """One self-supervised method: its data, its model and its loss.

    All state is parameters and buffers (teacher, queue, centroids, discriminator) and all chance comes from
    the arguments, so `state_dict()` and a step number are the whole of a checkpoint.
    """

    encoder: Encoder

    def __init__(self, encoder: Encoder, corpus: Any, built: Path) -> None:
        super().__init__()
        self.encoder = encoder
        self.corpus = corpus
        self.built = built

    @classmethod
    def build(cls, corpus: Any, out: Path, *, seed: int) -> None:
        """Write once what training reads: permutations, tracks, vocabularies."""

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Show the task in `out`, a .png: what the network is shown and what it is asked.

        Text goes to `out.with_suffix(".json")`: a list of lines, a line a list of [text, mark], the marks those of
        stages/showing.py. Called once after `build`, on an untrained encoder, so wrong settings are known before any
        training.
        """

    def samples(self) -> int:
        """How many samples an epoch has; they are numbered 0 .. samples() - 1."""
        return len(self.corpus)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Read and augment these samples, all at once, on the CPU. May run ahead in another thread."""
        raise NotImplementedError

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        """Return {"loss": scalar, ...}; everything else in it is logged."""
        raise NotImplementedError

    def chance(self) -> dict[str, float]:
        """What guessing would score in what `forward` logs, by name.

        Where that depends on the batch, `forward` logs it itself, as `<name>.chance`.
        """
        return {}

    def players(self) -> list[nn.Module]:
        """One optimizer each; [self] unless two play against each other."""
        return [self]

    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        """Also called once in a run of no steps. Returns parameters whose optimizer state is to be dropped."""
        return []

    def after_step(self, progress: float) -> None:
        """After each optimizer step; progress runs 0 -> 1: for momentum and schedules."""


@dataclass(frozen=True)
class Features:
    """Frozen features of a whole corpus: what a probe gets."""

    vectors: NDArray[np.float32]  # (N, D)
    labels: Index  # (N,), -1 where unknown
    splits: NDArray[np.str_]  # (N,)
    ids: list[str]
    classes: list[str]

    def labelled(self, split: str) -> tuple[NDArray[np.float32], Index, list[str]]:
        """Vectors, labels and ids of the rows of one split whose label is known.

        Raises ValueError where there are none, since then nothing can be judged.
        """
        rows = np.flatnonzero((self.splits == split) & (self.labels >= 0))
        if not len(rows):
            raise ValueError(f"the {split} split has no labelled sample; add labels, or set `probes: {{}}`")
        return self.vectors[rows], self.labels[rows], [self.ids[row] for row in rows]
