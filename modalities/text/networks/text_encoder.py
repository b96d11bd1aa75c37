"""What all encoders of text share: a vocabulary inside, token ids in, one vector a text out.

N texts, L tokens, D = `dim`.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from modalities.base import Encoder, Index
from modalities.text.corpus import Texts
from modalities.text.vocabulary import Vocabulary

Pool = Literal["mean", "first", "last"]

BYTES = 24  # of text read for each token there is room for; tokens average four or five
ROWS = 32  # texts that are encoded side by side in evaluation, alike in length, so that pads cost little


@dataclass(frozen=True)
class Size:
    """The budget that all methods share: `text.encoder` of params.yaml, without its pool."""

    vocabulary: int  # most entries of a vocabulary
    layers: int
    width: int
    heads: int
    positions: int  # most tokens of a text, special ones included
    dropout: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "dropout" and value < 1:
                raise ValueError(f"text.encoder.{name} is {value}; use a whole number above 0")
        if self.width % self.heads:
            raise ValueError(f"text.encoder.width is {self.width}; use a multiple of heads ({self.heads})")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"text.encoder.dropout is {self.dropout}; use a share from 0 up to, but not, 1")

    @property
    def rows(self) -> int:
        """Rows of a table of token vectors: `vocabulary`, rounded up to a multiple of 64."""
        return -(-self.vocabulary // 64) * 64


class TextEncoder(Encoder):
    """Token ids, (N, L) int64, to one vector a text. The mask is made inside: a pad is `vocabulary.pad`.

    A subclass sets `dim` and `spec`, and defines `states(x) -> (N, L, dim)`; or, where it has no vector a token,
    `forward`. Its `spec` is {"class": its name, "size": size.spec, "pool": ...} and its keyword arguments are these.
    The vocabulary is no argument: a method hands it over with `learn`, and it travels as extra state of the module, the
    tokenizer's JSON as uint8. So `state_dict()` stays the whole of the state.
    """

    size: Size
    pool: Pool
    prefix: str = "start"  # the role of what opens a text and of what ends it; "" for nothing
    suffix: str = "separator"

    def __init__(self, size: dict[str, Any], pool: Pool) -> None:
        super().__init__()
        if pool not in ("mean", "first", "last"):
            raise ValueError(f"text.encoder.pool is {pool}; use mean, first or last")
        self.size = Size(**size)
        self.pool = pool
        self._vocabulary: Vocabulary | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """What turns text into ids. Raises ValueError where no method has handed one over yet."""
        if self._vocabulary is None:
            raise ValueError(
                "this encoder has no vocabulary yet: the method calls encoder.learn(vocabulary) first"
            )
        return self._vocabulary

    def learn(self, vocabulary: Vocabulary, method: str) -> Self:
        """Take a vocabulary over. Raises ValueError where it has more entries than there are rows for."""
        if len(vocabulary) > self.size.vocabulary:
            raise ValueError(
                f"text.pretexts.{method}.build.size gives {len(vocabulary)} entries, text.encoder.vocabulary is "
                f"{self.size.vocabulary}; lower the first or raise the second"
            )
        self._vocabulary = vocabulary
        return self

    def get_extra_state(self) -> Tensor:
        json = self._vocabulary.json.encode() if self._vocabulary else b""
        return torch.from_numpy(np.frombuffer(json, np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        json = state.cpu().numpy().tobytes().decode()
        if json and (self._vocabulary is None or self._vocabulary.json != json):
            self._vocabulary = Vocabulary(json)

    def tokens(self, texts: list[str]) -> Tensor:
        """(N, L) ids, special tokens included, cut to `size.positions` and padded to the longest. L is 1 or more."""
        own = self.vocabulary
        flat, offsets = own.encode(texts)
        extra = bool(self.prefix) + bool(self.suffix)
        lengths = np.minimum(np.diff(offsets), self.size.positions - extra)
        out = np.full((len(texts), max(1, int(lengths.max(initial=0)) + extra)), own.pad, np.int64)
        row = np.repeat(np.arange(len(texts)), lengths)
        column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        out[row, column + bool(self.prefix)] = flat[offsets[row] + column]
        if self.prefix:
            out[:, 0] = getattr(own, self.prefix)
        if self.suffix:
            out[np.arange(len(texts)), lengths + bool(self.prefix)] = getattr(own, self.suffix)
        return torch.from_numpy(out)

    def read(self, corpus: Texts, index: Index) -> Tensor:
        """(N, L): documents from their beginning, as far as there are positions."""
        return self.tokens(corpus.documents(index, BYTES * self.size.positions))

    def states(self, x: Tensor) -> Tensor:
        """(N, L, D): a vector a token, of the last layer."""
        raise NotImplementedError(f"{type(self).__name__} has no vector a token")

    def forward(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, D)."""
        if self.training or len(x) <= ROWS:
            return self.pooled(self.states(x), x)
        lengths = (x != self.vocabulary.pad).sum(1)
        order = lengths.argsort(stable=True)
        parts = []
        for rows in order.split(ROWS):  # type: ignore[no-untyped-call]
            some = x[rows, : max(1, int(lengths[rows[-1]]))]
            parts.append(self.pooled(self.states(some), some))
        return torch.cat(parts)[order.argsort()]

    def pooled(self, states: Tensor, x: Tensor) -> Tensor:
        """(N, L, D) -> (N, D): the mean over tokens that are not special, the first or the last that is no pad."""
        real = x != self.vocabulary.pad  # (N, L)
        if self.pool == "first":
            return states[:, 0]
        if self.pool == "last":
            last = real.sum(1).sub(1).clamp_min(0)
            return states[torch.arange(len(x), device=x.device), last]
        words = x >= self.vocabulary.specials
        # A text of special tokens alone is their mean; one of nothing is zero.
        counted = torch.where(words.any(1, keepdim=True), words, real).to(states.dtype)
        total = counted.sum(1, keepdim=True).clamp_min(1)
        return (states * counted[:, :, None]).sum(1) / total

    def words(self) -> dict[str, Tensor]:
        """Vectors of words, by their spelling, (D,) each, where the encoder is a table of them."""
        raise NotImplementedError(f"{type(self).__name__} has no word vectors")
