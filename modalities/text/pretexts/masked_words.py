"""Masked words: name hidden words from what stands on both sides.

Devlin et al. 2018 (BERT, arXiv:1810.04805), Liu et al. 2019 (RoBERTa, arXiv:1907.11692), Lan et al. 2019 (ALBERT,
arXiv:1909.11942): the same task on WordPiece, bytes or unigram pieces; with or without a second task on pairs.
L = -mean over hidden places of log P(x_t | what is left), plus that of the pair. Another word is drawn from all but the
special tokens, which BERT draws too.
N rows, L tokens, M places that are asked, V entries, D = encoder.dim.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Encode, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import MaskedTrunk, Trunk
from modalities.text.packing import Packed
from modalities.text.shared import masking, preview
from modalities.text.shared.guessing import prior
from modalities.text.shared.lengths import fitted
from modalities.text.shared.masking import Unit
from modalities.text.shared.pairs import LABELS, Negative, Pairs, Segments, spans
from modalities.text.shared.targets import NONE, scored, share
from modalities.text.vocabulary import Kind

Pack = Literal["full_sentences", "doc_sentences", "pairs"]
FORM: dict[Kind, Literal["bert", "roberta", "albert"]] = {
    "wordpiece": "bert",
    "bpe": "roberta",
    "unigram": "albert",
}
BEGINS = 1 << 30  # added to a token that begins a word, so that one gather gives both


def coded(packed: Packed) -> Packed:
    """The same with BEGINS added to each token that begins a word."""
    return replace(
        packed, tokens=packed.tokens.astype(np.uint32) | (packed.starts.astype(np.uint32) * BEGINS)
    )


def judge(dim: int, answers: int) -> nn.Sequential:
    """BERT's head on the first token."""
    return nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, answers))


class MaskedWords(Pretext):
    corpus: Texts
    encoder: MaskedTrunk
    epoch: Tensor  # how many have begun, less one

    def __init__(
        self, encoder: Trunk, corpus: Texts, built: Path, *, rate: float, split: tuple[float, float, float],
        unit: Unit, pair: Negative | Literal["none"], factor: int, share: bool,
    ) -> None:  # fmt: skip
        if not 0 < rate < 1 or min(split) < 0 or abs(sum(split) - 1) > 1e-6:
            raise ValueError(
                f"masked_words.model has rate {rate} and split {split}; use shares, split summing to 1"
            )
        if unit not in ("token", "word", "ngram"):
            raise ValueError(f"masked_words.model.unit is {unit}; use token, word or ngram")
        packed = packing.read(built)
        own = packed.vocabulary
        own.mask  # noqa: B018 (raises where this kind of vocabulary has none)
        about = json.loads((built / "rows.json").read_text())
        if pair != "none" and about["pack"] != "pairs":
            raise ValueError(
                f"masked_words.model.pair is {pair}, build.pack {about['pack']}; use build.pack pairs"
            )
        form = "albert" if factor or share else FORM[own.kind]
        size = fitted(encoder, about["length"], "masked_words")
        trunk = MaskedTrunk(size=size, pool=encoder.pool, form=form, factor=factor, share=share)
        trunk.pretraining(True)
        trunk.bias.data[: len(own)] = prior(packed.tokens, len(own), end=own.separator, ends=0)
        super().__init__(trunk.learn(own, "masked_words"), corpus, built)
        self.packed = packed if unit == "token" else coded(packed)
        self.pairs: Pairs | None = None
        if about["pack"] == "pairs":
            self.pairs = Pairs(self.packed, "swap" if pair == "none" else pair)
        else:
            self.windows = packing.windows(self.packed.stream, about["length"] - 2)
            self.spans = packing.spans(packed, *np.asarray(packed.examples, np.int64).T)
        self.pair, self.rate, self.split, self.unit = pair, rate, split, unit
        self.copies, self.seed, self.length = about["copies"], about["seed"], about["length"]
        self.judge = None if pair == "none" else judge(trunk.dim, len(LABELS[pair]))
        self.register_buffer("epoch", torch.tensor(-1))
        self._drawn: tuple[int, Segments] | None = (
            None  # the partners of one copy: a pure function of its number
        )

    @classmethod
    def build(  # type: ignore[override]
        cls, corpus: Texts, out: Path, *, seed: int, kind: Kind, size: int, pack: Pack, length: int, short: float,
        copies: int,
    ) -> None:  # fmt: skip
        """`copies` masks of each row are fixed, and come in turn, epoch by epoch; 0: each time a fresh one."""
        packed = packing.write(corpus, out, kind=kind, size=size, min_count=1)
        if pack == "pairs":
            rows = spans(packed, length, short, np.random.default_rng(seed))
        elif pack in ("full_sentences", "doc_sentences"):
            rows = packing.full_sentences(packed, length, cross=pack == "full_sentences")
        else:
            raise ValueError(f"masked_words.build.pack is {pack}; use full_sentences, doc_sentences or pairs")
        packing.keep(out, rows)
        about = {"pack": pack, "length": length, "copies": copies, "seed": seed}
        (out / "rows.json").write_text(json.dumps(about, sort_keys=True) + "\n")

    def samples(self) -> int:
        return len(self.packed.examples)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        own = self.packed.vocabulary
        tokens, label = self._rows(index, rng)
        draws = self._draws(index, tokens.shape[1], rng)
        wanted, place = masking.count(tokens, self.rate, own.pad), draws(0)
        if self.unit == "token":
            asked = masking.places(tokens >= own.specials, wanted, place)
        else:
            starts = tokens >= BEGINS
            tokens &= BEGINS - 1
            lengths = draws(1) if self.unit == "ngram" else None
            asked = masking.words(tokens >= own.specials, starts, wanted, place, lengths)
        read, target = masking.replaced(tokens, asked, self.split, draws(2, asked), draws(3, asked), own)
        found = {"token": from_numpy(read), "target": from_numpy(target)}
        return found if self.pair == "none" else found | {"label": from_numpy(label)}

    def _rows(self, index: Index, rng: np.random.Generator) -> tuple[Index, Index]:
        """(N, L) tokens, special ones and pads among them, and (N,) what a pair is."""
        if self.pairs is None:
            starts, stops = (each[index] for each in self.spans)
            found = packing.framed(self.windows, starts, stops, self.packed.vocabulary)
            return found, np.zeros(len(index), np.int64)
        if self.pair == "none":
            drawn = Segments(self.pairs.a[index], self.pairs.b[index], np.zeros(len(index), np.int64))
        elif self.copies:
            every = self._partners(self._copy())
            drawn = Segments(every.a[index], every.b[index], every.label[index])
        else:
            drawn = self.pairs.draw(index, rng)
        return self.pairs.tokens(drawn), drawn.label

    def _partners(self, copy: int) -> Segments:
        """The partner of every row, as one copy has it."""
        assert self.pairs is not None
        if self._drawn is None or self._drawn[0] != copy:
            rng = np.random.default_rng([self.seed, copy])
            self._drawn = copy, self.pairs.draw(np.arange(len(self.pairs)), rng)
        return self._drawn[1]

    def _draws(self, index: Index, width: int, rng: np.random.Generator) -> Callable[..., masking.Draws]:
        """`draws(k)` is (N, L), `draws(k, asked)` one number a place that is asked: fresh ones, or those of a copy."""
        if not self.copies:
            return lambda k, asked=None: rng.random(
                (len(index), width) if asked is None else int(asked.sum())
            )
        salt = (self.seed * 1000 + self._copy()) * 4

        def fixed(k: int, asked: masking.Mask | None = None) -> masking.Draws:
            every = masking.fixed(index, width, salt + k)
            return every if asked is None else every[asked]

        return fixed

    def _copy(self) -> int:
        copies: int = self.copies
        return max(0, int(self.epoch)) % copies

    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        self.epoch += 1
        return []

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        states = self.encoder.states(batch["token"])  # (N, L, D)
        asked = batch["target"] != NONE
        found = scored(self.encoder.logits(states[asked]), batch["target"][asked], smoothing=0.0)  # of (M, V)
        if self.judge is None:
            return found
        answer, label = self.judge(states[:, 0]), batch["label"]
        pair = F.cross_entropy(answer.float(), label, reduction="sum") / share(label.new_tensor(len(label)))
        right = (answer.argmax(1) == label).float().mean()
        return found | {"loss": found["loss"] + pair, "pair": pair, "pair_accuracy": right}

    def chance(self) -> dict[str, float]:
        """Of always naming the commonest token, and any answer to a pair."""
        counts = np.bincount(self.packed.tokens.astype(np.int64) & (BEGINS - 1))
        found = {"accuracy": float(counts.max() / counts.sum())}
        return found if self.pair == "none" else found | {"pair_accuracy": 1 / len(LABELS[self.pair])}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Rows with their hidden words; a word that is asked but seen, its own or another's, is marked as asked."""
        own = self.packed.vocabulary
        index = preview.some(self.samples(), rng)
        batch = self.batch(index, rng)
        lines = []
        for read, target in zip(batch["token"].numpy(), batch["target"].numpy(), strict=True):
            asked, masked = target != NONE, read == own.mask
            marks: list[preview.Mark] = [
                "" if not a else "hidden" if m else "asked" for a, m in zip(asked, masked, strict=True)
            ]
            lines.append(preview.pieces(np.where(masked & asked, target, read), marks, own))
        if self.pair != "none":
            for line, label in zip(lines, batch["label"].tolist(), strict=True):
                line.append((LABELS[self.pair][label], "asked"))
        preview.write(out, lines)
