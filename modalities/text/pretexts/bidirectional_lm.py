"""ELMo: name the next word from the left and the previous word from the right, with no path between the two.

Peters et al. 2018, arXiv:1802.05365. Departures: the softmax is over the whole vocabulary, where the paper draws words
to compare with; blocks of text are read each from a fresh state, where the paper carries it on; and a word without an
entry in the vocabulary has no characters.
N blocks, L tokens of a block, V entries of the vocabulary.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, from_numpy
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder, TwoWayLSTM
from modalities.text.networks.two_way_lstm import Input
from modalities.text.shared import preview, targets
from modalities.text.shared.guessing import prior, unigram
from modalities.text.shared.preview import Line, Mark


class BidirectionalLM(Pretext):
    corpus: Texts
    encoder: TwoWayLSTM

    def __init__(
        self,
        encoder: TextEncoder,
        corpus: Texts,
        built: Path,
        *,
        input: Input,
        dim: int,
        layers: int,
        projection: int,
        dropout: float,
    ) -> None:
        self.packed = packing.read(built)
        own = TwoWayLSTM(
            size=encoder.spec["size"], pool="mean", input=input, dim=dim, layers=layers, projection=projection,
            dropout=dropout,
        )  # fmt: skip
        words = self.packed.vocabulary
        super().__init__(own.learn(words, "bidirectional_lm").pretraining(True), corpus, built)
        own.output.bias.data[: len(words)] = prior(self.packed.stream, len(words), end=words.end, ends=0)

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, size: int, min_count: int, length: int
    ) -> None:
        packed = packing.write(corpus, out, kind="words", size=size, min_count=min_count)
        starts = packing.stream(packed, length)
        stops = np.minimum(starts + length, len(packed.stream))
        packing.keep(out, np.concatenate([starts, stops], 1))

    def samples(self) -> int:
        return len(self.packed.examples)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """(N, L + 2): blocks of the stream between start and end. They begin at random, so each pass cuts anew."""
        own = self.packed.vocabulary
        start, stop = self.packed.examples[index].astype(np.int64).T
        shift = np.minimum(rng.integers(0, stop - start), len(self.packed.stream) - stop)
        width = int((stop - start).max())
        tokens = packing.rows(self.packed.stream, start + shift, stop + shift, width + 2, own.pad)
        tokens = np.roll(tokens, 1, 1)
        tokens[:, 0] = own.start
        tokens[np.arange(len(tokens)), stop - start + 1] = own.end
        return {"tokens": from_numpy(tokens)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        x = batch["tokens"]
        forward, backward = self.encoder.layers(x)
        # All between start and end is asked of both directions, each from its own side.
        real = self.inner(x)  # (N, L)
        target = x[:, 1:-1][real]
        count = targets.share(real.sum())
        found = {}
        for name, states in (("forward", forward[-1][:, :-2]), ("backward", backward[-1][:, 2:])):
            scores = self.encoder.scores(states[real]).float()
            found[name] = F.cross_entropy(scores, target, reduction="sum") / count
        perplexities = {f"{name}_perplexity": lost.detach().exp() for name, lost in found.items()}
        mean = torch.stack(list(perplexities.values())).mean()
        return {"loss": found["forward"] + found["backward"], "perplexity": mean} | perplexities

    def inner(self, x: Tensor) -> Tensor:
        """(N, L + 2) -> (N, L), whether a place between the first and the last holds a token of the text."""
        length = (x != self.packed.vocabulary.pad).sum(1, keepdim=True)
        return torch.arange(1, x.shape[1] - 1, device=x.device) < length - 1

    def chance(self) -> dict[str, float]:
        """Of naming every word by how often it occurs."""
        found = unigram(self.packed.stream)
        return {"perplexity": found, "forward_perplexity": found, "backward_perplexity": found}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """A block with one word hidden: asked from what stands before, and again from what stands after."""
        lines: list[Line] = []
        for row in self.batch(preview.some(self.samples(), rng, 4), rng)["tokens"].numpy():
            real = np.flatnonzero(row != self.packed.vocabulary.pad)
            at = int(rng.integers(1, max(2, len(real) - 1)))
            place = np.arange(len(row))
            for seen in (place < at, place > at):
                marks: list[Mark] = ["asked" if k == at else "" if seen[k] else "hidden" for k in place]
                lines.append(preview.pieces(row, marks, self.packed.vocabulary))
        preview.write(out, lines)
