"""Gap sentences: write the sentences that were taken out of a passage, those most like the rest.

PEGASUS, Zhang et al. 2019 (arXiv:1912.08777). Chosen by ROUGE-1 F against the rest ("Ind-Orig"), each gives way to one
mask; the decoder writes them in their order. Below about 5 MB of text it learns which sentences are likely, and little
of what the passage says. N passages, L tokens read, T written, U sentences at most, S of the corpus, V entries.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import EncoderDecoder, TextEncoder
from modalities.text.shared import preview, rouge, shuffling
from modalities.text.shared.gaps import STOP, chosen
from modalities.text.shared.guessing import prior
from modalities.text.shared.lengths import fitted
from modalities.text.shared.targets import NONE, scored

Select = Literal["orig", "uniq", "random", "lead"]

LEAST = 4  # sentences of a passage
RATIOS = (0.15, 0.45)  # of the stochastic form
NOISE = 0.2


class GapSentences(Pretext):
    corpus: Texts
    encoder: EncoderDecoder

    def __init__(
        self,
        encoder: TextEncoder,
        corpus: Texts,
        built: Path,
        *,
        visible: float,
        stochastic: bool,
        words: float,
    ) -> None:
        for name, value in (("visible", visible), ("words", words)):
            if not 0 <= value < 1:
                raise ValueError(
                    f"gap_sentences.model.{name} is {value}; use a share from 0 up to, but not, 1"
                )
        self.packed = packing.read(built)
        self.rows = np.asarray(self.packed.examples, np.int64)
        size = fitted(encoder, int(self.rows[0, 2]), "gap_sentences")
        own = EncoderDecoder(size=size, pool=encoder.pool, form="pegasus")
        pieces, tokens = self.packed.vocabulary, self.packed.tokens
        super().__init__(own.learn(pieces, "gap_sentences"), corpus, built)
        own.prior[: len(pieces)] = prior(tokens, len(pieces), end=pieces.end, ends=len(self.rows))
        self.scores = np.fromfile(built / "scores.f32", "<f4")  # (S,)
        self.gaps = np.fromfile(built / "gaps.u8", "u1").astype(bool)  # (S,)
        self.room = int(self.rows[0, 3]) - 1  # tokens of a target, its end apart
        self.visible, self.stochastic, self.words = visible, stochastic, words
        # One token more, the mask, so that a hidden sentence is a run of tokens as others are.
        self.tokens = np.append(self.packed.tokens, self.packed.vocabulary.gap)

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Texts,
        out: Path,
        *,
        seed: int,
        size: int,
        length: int,
        target: int,
        ratio: float,
        select: Select,
        stop: bool,
    ) -> None:
        """`select`: orig and uniq (each word once) score by ROUGE, random and lead (the first ones) do not."""
        packed = packing.write(corpus, out, kind="unigram", size=size, min_count=1)
        rows = packing.document(packed, length, least=LEAST, most=0)
        scores = _scores(corpus, rows, select, stop, np.random.default_rng(seed))
        gaps = np.zeros(len(scores), bool)
        if len(rows):
            spans, there = shuffling.sentences(packed, rows[:, 0], rows[:, 1])
            where = np.where(there, rows[:, :1] + np.arange(there.shape[1]), 0)
            hidden = chosen(scores[where], there, spans[..., 1] - spans[..., 0], ratio, target - 1)
            gaps[where[hidden]] = True
            rows = rows[hidden.any(1)]
        if not len(rows):
            raise ValueError(
                f"no document has {LEAST} sentences in {length} tokens, one of them in {target}; "
                "raise gap_sentences.build.length or target"
            )
        packing.keep(
            out,
            np.concatenate([rows, np.full_like(rows, length)[:, :1], np.full_like(rows, target)[:, :1]], 1),
        )
        scores.astype("<f4").tofile(out / "scores.f32")
        gaps.astype("u1").tofile(out / "gaps.u8")

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """Passages as they are read, and under each what is to be written."""
        batch = self.batch(preview.some(self.samples(), rng, 3), rng)
        lines = []
        for read, wanted in zip(batch["token"].numpy(), batch["target"].numpy(), strict=True):
            special = (self.packed.vocabulary.gap, self.packed.vocabulary.mask)
            marks: list[preview.Mark] = ["hidden" if token in special else "" for token in read]
            lines.append(preview.pieces(read, marks, self.packed.vocabulary))
            lines.append(preview.pieces(wanted, ["asked"] * len(wanted), self.packed.vocabulary))
        preview.write(out, lines)

    def samples(self) -> int:
        return len(self.rows)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        first, last = self.rows[index, 0], self.rows[index, 1]
        spans, there = shuffling.sentences(self.packed, first, last)
        where = np.where(there, first[:, None] + np.arange(there.shape[1]), 0)
        hidden = self.gaps[where] & there  # (N, U)
        if self.stochastic:
            noisy = self.scores[where] * (1 + NOISE * rng.standard_normal(where.shape))
            ratio = rng.uniform(*RATIOS, len(index))
            hidden = chosen(noisy, there, spans[..., 1] - spans[..., 0], ratio, self.room)
        masked = hidden & (rng.random(hidden.shape) >= self.visible)
        token, target = self.assembled(spans, there, hidden, masked)
        found = {"token": token, "target": target}
        if self.words:
            found["token"], found["word"] = self._words_hidden(token, rng)
        return {name: from_numpy(value) for name, value in found.items()}

    def assembled(
        self, spans: Index, there: shuffling.Mask, hidden: shuffling.Mask, masked: shuffling.Mask
    ) -> tuple[Index, Index]:
        """What is read (N, L) and written (N, T): `hidden` sentences are written, `masked` ones not read."""
        own, end = self.packed.vocabulary, len(self.packed.tokens)
        read = np.where(masked[..., None], [end, end + 1], spans)
        token, _ = shuffling.laid(self.tokens, read, there, pad=own.pad, opener=None, closer=own.end)
        order = np.argsort(~hidden, 1, kind="stable")  # hidden ones first, in their order
        put = np.take_along_axis(spans, order[..., None], 1)
        target, _ = shuffling.laid(
            self.tokens, put, np.take_along_axis(hidden, order, 1), pad=own.pad, opener=None, closer=own.end
        )
        return token, target

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        token, target, pad = batch["token"], batch["target"], self.packed.vocabulary.pad
        states = self.encoder.states(token)  # (N, L, D)
        logits = self.encoder.written(states, token != pad, target)  # (N, T, V)
        found = scored(logits, target.masked_fill(target == pad, NONE), smoothing=0.0)
        if self.words:
            words = scored(self.encoder.scores(states), batch["word"], smoothing=0.0)
            found["loss"] = found["loss"] + words["loss"]
            found["word accuracy"] = words["accuracy"]
        return found

    def chance(self) -> dict[str, float]:
        """Of always writing the commonest token."""
        counts = np.bincount(self.packed.tokens)
        best = float(counts.max() / counts.sum())
        return {"accuracy": best, "word accuracy": best}

    def _words_hidden(self, token: Index, rng: np.random.Generator) -> tuple[Index, Index]:
        """Tokens (N, L) of which `words` are asked for, as BERT does: 80 % masked, 10 % another, 10 % as they were."""
        own = self.packed.vocabulary
        asked = (token >= own.specials) & (rng.random(token.shape) < self.words)
        fate = rng.random(token.shape)
        other = rng.integers(own.specials, len(own), token.shape)
        seen = np.where(fate < 0.8, own.mask, np.where(fate < 0.9, other, token))
        return np.where(asked, seen, token), np.where(asked, token, NONE)


def _scores(
    corpus: Texts, rows: Index, select: Select, stop: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(S,): how much each sentence is like the rest of its passage; 0 for those in none."""
    found = np.zeros(len(corpus.sentences))
    if select == "random":
        return rng.random(len(found))
    if select == "lead":
        found[:] = -np.arange(len(found), dtype=np.float64)
        return found
    if select not in ("orig", "uniq"):
        raise ValueError(f"gap_sentences.build.select is {select}; use orig, uniq, random or lead")
    for first, last in rows:
        texts = [rouge.words(text, stem=False) for text in corpus.strings(range(first, last))]
        if stop:
            texts = [[word for word in text if word not in STOP] for text in texts]
        found[first:last] = rouge.gap_scores(texts, unique=select == "uniq")
    return found
