"""Skip-thoughts: a sentence's vector must generate the sentence before it and the one after it.

Kiros et al. 2015, arXiv:1506.06726. Two decoders with weights of their own start from the vector and see it at every
step; table of words and output matrix are shared. Left out: the paper's linear map that lends the encoder words of a
larger table, and batches of sentences alike in length.
N triples, L words of a sentence, D = model.dim, V entries of the vocabulary, T words that are asked for in all.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import SentenceGRU, TextEncoder
from modalities.text.shared import preview, targets
from modalities.text.shared.guessing import prior, unigram
from modalities.text.shared.preview import Line

SIDES = ("before", "after")


class SkipThoughts(Pretext):
    corpus: Texts
    encoder: SentenceGRU

    def __init__(
        self,
        encoder: TextEncoder,
        corpus: Texts,
        built: Path,
        *,
        dim: int,
        word: int,
        both: bool,
        dropped: float,
    ) -> None:
        self.packed = packing.read(built)
        own = SentenceGRU(size=encoder.spec["size"], pool="last", dim=dim, word=word, both=both)
        super().__init__(own.learn(self.packed.vocabulary, "skip_thoughts"), corpus, built)
        if not 0 <= dropped < 1:
            raise ValueError(
                f"skip_thoughts.model.dropped is {dropped}; use a share from 0 up to, but not, 1"
            )
        self.dropped = dropped
        self.decoders = nn.ModuleList(nn.GRU(word + dim, dim, batch_first=True) for _ in SIDES)
        self.output = nn.Linear(dim, len(self.packed.vocabulary))
        nn.init.normal_(self.output.weight, std=0.02)
        words, sentences = self.packed.vocabulary, len(self.packed.offsets) - 1
        self.output.bias.data.copy_(prior(self.packed.tokens, len(words), end=words.end, ends=sentences))

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, size: int, min_count: int, words: int
    ) -> None:
        """An example is three sentences in a row of one document, as spans of tokens, each cut at so many words."""
        packed = packing.write(corpus, out, kind="words", size=size, min_count=min_count)
        sentences = packing.triples(packed) + np.array([-1, 0, 1])  # (n, 3)
        starts, stops = packed.offsets[sentences], packed.offsets[sentences + 1]
        spans = np.stack([starts, np.minimum(stops, starts + words)], 2)  # (n, 3, 2)
        packing.keep(out, spans[(stops > starts).all(1)].reshape(-1, 6))

    def samples(self) -> int:
        return len(self.packed.examples)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """`sentence` (N, L) as the encoder eats it; `before` and `after`, (N, L), to be told, and what is fed for each.

        A decoder is fed what it has told so far after a start token, a share of it made unknown: else it would need no
        vector.
        """
        own = self.packed.vocabulary
        spans = self.packed.examples[index].astype(np.int64).reshape(-1, 3, 2)
        before, sentence, after = (ended(self.packed, spans[:, k]) for k in range(3))
        found = {"sentence": sentence, "before": before, "after": after}
        for side in SIDES:
            fed = np.roll(found[side], 1, 1)
            gone = (rng.random(fed.shape) < self.dropped) & (fed >= own.specials)
            fed = np.where(gone, own.unknown, fed)
            fed[:, 0] = own.start
            found[f"{side}_fed"] = fed
        return {name: from_numpy(each) for name, each in found.items()}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        vector = self.encoder(batch["sentence"])  # (N, D)
        pad = self.packed.vocabulary.pad
        wanted = [torch.where(batch[side] == pad, targets.NONE, batch[side]) for side in SIDES]
        # Scores are made of the words that are asked for alone: pads would be a third of the work.
        states = [
            self.decoded(vector, batch[f"{side}_fed"], decoder)[target != targets.NONE]
            for side, target, decoder in zip(SIDES, wanted, self.decoders, strict=True)
        ]
        target = torch.cat([each[each != targets.NONE] for each in wanted])  # (T,)
        lost = F.cross_entropy(self.output(torch.cat(states)).float(), target, reduction="sum")
        loss = lost / targets.share((target != targets.NONE).sum())
        return {"loss": loss, "perplexity": loss.detach().exp()}

    def decoded(self, vector: Tensor, fed: Tensor, decoder: nn.Module) -> Tensor:
        """(N, D), (N, L) -> (N, L, D): states from which each word is told."""
        words = self.encoder.table(fed)
        seen = vector[:, None].expand(-1, fed.shape[1], -1)
        found: Tensor = decoder(torch.cat([words, seen], 2), vector[None].contiguous())[0]
        return found

    def chance(self) -> dict[str, float]:
        """Of telling every word, or the end, by how often it occurs."""
        tokens = np.append(
            self.packed.tokens, np.full(len(self.packed.offsets) - 1, self.packed.vocabulary.end)
        )
        return {"perplexity": unigram(tokens)}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Three sentences: the one that is read, and those that are asked for."""
        batch = self.batch(preview.some(self.samples(), rng), rng)
        lines: list[Line] = []
        for k in range(len(batch["sentence"])):
            line: Line = []
            for name in ("before", "sentence", "after"):
                ids = batch[name][k].numpy()
                mark = "" if name == "sentence" else "asked"
                line += preview.pieces(ids, [mark] * len(ids), self.packed.vocabulary)  # type: ignore[list-item]
            lines.append(line)
        preview.write(out, lines)


def ended(packed: packing.Packed, spans: Index) -> Index:
    """(N, 2) spans of tokens -> (N, L): the tokens, the end token, then pads."""
    own = packed.vocabulary
    lengths = spans[:, 1] - spans[:, 0]
    found = packing.rows(packed.tokens, spans[:, 0], spans[:, 1], int(lengths.max()) + 1, own.pad)
    found[np.arange(len(found)), lengths] = own.end
    return found
