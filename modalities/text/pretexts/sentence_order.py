"""Sentence order: give a shuffled passage its order back.

`form: denoise` writes the passage again (BART, Lewis et al. 2019, arXiv:1910.13461); `form: order` says of each two
units which stands first, from a vector of each, p_ij = sigmoid(w · [z_i; z_j; z_i * z_j]). Units are the sentences of a
passage, or the words of a sentence, within groups of three where asked (StructBERT, Wang et al. 2019,
arXiv:1908.04577). The order is uniform, the true one included; positions run over the shuffled text.
N rows, L tokens read, T written, U units, D = encoder.dim.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, from_numpy, nn
from torch.nn import functional as F

from modalities.base import Batch, Index, Pretext
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import EncoderDecoder, TextEncoder
from modalities.text.shared import preview, shuffling
from modalities.text.shared.guessing import prior
from modalities.text.shared.infilling import infilled
from modalities.text.shared.lengths import fitted
from modalities.text.shared.ordering import passages
from modalities.text.shared.targets import NONE, scored, share
from modalities.text.vocabulary import Kind

Form = Literal["denoise", "order"]
Unit = Literal["sentence", "word"]


class SentenceOrder(Pretext):
    corpus: Texts
    encoder: TextEncoder

    def __init__(
        self,
        encoder: TextEncoder,
        corpus: Texts,
        built: Path,
        *,
        form: Form,
        permute: float,
        window: int,
        infill: float,
        smoothing: float,
    ) -> None:
        self.packed = packing.read(built)
        about = json.loads((built / "order.json").read_text())
        if form not in ("denoise", "order"):
            raise ValueError(f"sentence_order.model.form is {form}; use denoise or order")
        if not 0 < permute <= 1 or not 0 <= infill < 1:
            raise ValueError(
                f"sentence_order.model: permute is {permute}, infill {infill}; use shares up to 1"
            )
        if window < 0 or window == 1:
            raise ValueError(
                f"sentence_order.model.window is {window}; use 0 for the whole row, or 2 or more"
            )
        if form == "order" and infill:
            raise ValueError("sentence_order.model.infill is of the form denoise; set it to 0")
        size = fitted(encoder, about["length"], "sentence_order")
        own: TextEncoder
        if form == "denoise":
            own = EncoderDecoder(size=size, pool=encoder.pool, form="bart")
        else:
            own = encoder.like(size=size)  # type: ignore[assignment]
        pieces, tokens, rows = self.packed.vocabulary, self.packed.tokens, len(self.packed.examples)
        super().__init__(own.learn(pieces, "sentence_order"), corpus, built)
        if isinstance(own, EncoderDecoder):
            own.prior[: len(pieces)] = prior(tokens, len(pieces), end=pieces.end, ends=rows)
        self.form, self.unit = form, about["unit"]
        self.permute, self.window, self.infill, self.smoothing = permute, window, infill, smoothing
        if form == "order":
            self.head = nn.Linear(3 * own.dim, 1)
        if infill:
            self.mask = self.packed.vocabulary.mask  # raises where the vocabulary has none

    @classmethod
    def build(  # type: ignore[override]
        cls,
        corpus: Texts,
        out: Path,
        *,
        seed: int,
        kind: Kind,
        size: int,
        unit: Unit,
        sentences: int,
        length: int,
    ) -> None:
        packed = packing.write(corpus, out, kind=kind, size=size, min_count=1)
        if unit == "sentence":
            # Room for a token before each sentence, which one of the forms needs: both get the same passages.
            rows = passages(packed, length - sentences + 1, sentences)
        elif unit == "word":
            first = np.arange(len(packed.offsets) - 1)
            _, there = shuffling.words(packed, first, first + 1)
            fits = (there.sum(1) >= 3) & (np.diff(packed.offsets) <= length - 2)
            rows = np.stack([first, first + 1], 1)[fits]
        else:
            raise ValueError(f"sentence_order.build.unit is {unit}; use sentence or word")
        if not len(rows):
            raise ValueError(
                f"no document has three {unit}s in {length} tokens; raise sentence_order.build.length"
            )
        packing.keep(out, rows)
        (out / "order.json").write_text(json.dumps({"unit": unit, "length": length}) + "\n")

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        """The passage as it is read, and under it as it is asked for."""
        index = preview.some(self.samples(), rng, 3)
        batch = self.batch(index, rng)
        truth = self._laid(*self._units(index), None)[0]
        lines = []
        for k, row in enumerate(batch["token"].numpy()):
            lines.append(preview.pieces(row, ["hidden"] * len(row), self.packed.vocabulary))
            lines.append(preview.pieces(truth[k], ["asked"] * len(truth[k]), self.packed.vocabulary))
        preview.write(out, lines)

    def samples(self) -> int:
        return len(self.packed.examples)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        spans, there = self._units(index)
        group = shuffling.groups(there, self.window, rng)
        order, moved = shuffling.shuffled(there, group, self.permute, rng)  # (N, U) each
        opener = self.packed.vocabulary.start if self.form == "order" and self.unit == "sentence" else None
        put = np.take_along_axis(spans, order[..., None], 1)
        token, place = self._laid(put, np.take_along_axis(there, order, 1), opener)
        found = {"token": token}
        if self.form == "order":
            slot = {"place": place, "rank": order, "moved": np.take_along_axis(moved, order, 1)}
            return {k: from_numpy(v) for k, v in (found | slot | {"group": group}).items()}
        truth, _ = self._laid(spans, there, None)
        if self.infill:
            pad = self.packed.vocabulary.pad
            inner = (token != pad).sum(1) - 2  # without what opens and closes the text
            body = infilled(token[:, 1:], inner, self.infill, self.mask, pad, rng)
            found["token"] = packing.frame([body], self.packed.vocabulary)
        # The target has no opening token: the decoder's own stands in its place.
        found["target"] = truth[:, 1:]
        return {name: from_numpy(value) for name, value in found.items()}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        if self.form == "order":
            return self._ordered(batch)
        assert isinstance(self.encoder, EncoderDecoder)
        token, target, pad = batch["token"], batch["target"], self.packed.vocabulary.pad
        logits = self.encoder.written(self.encoder.states(token), token != pad, target)  # (N, T, V)
        return scored(logits, target.masked_fill(target == pad, NONE), smoothing=self.smoothing)

    def chance(self) -> dict[str, float]:
        """Of two units, a coin's; of tokens that are written, that of always writing the commonest."""
        if self.form == "order":
            return {"accuracy": 0.5, "tau": 0.0}
        counts = np.bincount(self.packed.tokens)
        return {"accuracy": float(counts.max() / counts.sum())}

    def _ordered(self, batch: Batch) -> dict[str, Tensor]:
        states = self.encoder.states(batch["token"])  # (N, L, D)
        z = states.gather(1, batch["place"][..., None].expand(-1, -1, states.shape[2]))  # (N, U, D)
        logits = self.pair_logits(z)
        rank, moved, group = batch["rank"], batch["moved"], batch["group"]
        both = moved[:, :, None] & moved[:, None, :] & (group[:, :, None] == group[:, None, :])
        both &= ~torch.eye(rank.shape[1], dtype=torch.bool, device=rank.device)
        first = (rank[:, :, None] < rank[:, None, :]).to(logits.dtype)
        count = share(both.sum())
        each = F.binary_cross_entropy_with_logits(logits, first, reduction="none")
        with torch.no_grad():
            right = ((logits > 0) == first.bool()) & both
            # Sorted by how much is said to come after each: then every two units are in a definite order.
            after = (logits.sigmoid() * both).sum(2)
            agree = (after[:, :, None] > after[:, None, :]) == first.bool()
            tau = 2 * (agree & both).sum() / count - 1
        return {"loss": (each * both).sum() / count, "accuracy": right.sum() / count, "tau": tau}

    def pair_logits(self, z: Tensor) -> Tensor:
        """(N, U, D) -> (N, U, U): log odds that unit i stands before unit j. No (N, U, U, 3D) is made."""
        left, right, product = self.head.weight[0].chunk(3)  # (D,) each
        found: Tensor = (z @ left)[:, :, None] + (z @ right)[:, None, :]
        return found + (z * product) @ z.transpose(1, 2) + self.head.bias

    def _units(self, index: Index) -> tuple[Index, shuffling.Mask]:
        first, last = np.asarray(self.packed.examples[index], np.int64).T
        units = shuffling.sentences if self.unit == "sentence" else shuffling.words
        return units(self.packed, first, last)

    def _laid(self, spans: Index, there: shuffling.Mask, opener: int | None) -> tuple[Index, Index]:
        """Ids with what opens and closes a text, and the places of units."""
        own = self.packed.vocabulary
        token, place = shuffling.laid(
            self.packed.tokens, spans, there, pad=own.pad, opener=opener, closer=own.separator
        )
        if opener is not None:
            return token, place
        start = np.full((len(token), 1), own.start, np.int64)
        return np.concatenate([start, token], 1), place + 1
