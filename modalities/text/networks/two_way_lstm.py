"""Two stacks of LSTMs, one from each side, that never see each other. ELMo's encoder (arXiv:1802.05365).

`nn.LSTM(bidirectional=True, num_layers=2)` would not do: its second layer sees both sides, so the word that is asked
for leaks. N texts, L tokens, P = projection, D = 2P, V entries of the vocabulary.
"""

import warnings
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from modalities.text.networks.character_cnn import CharacterCNN
from modalities.text.networks.recurrent import reverse
from modalities.text.networks.text_encoder import Pool, TextEncoder
from modalities.text.vocabulary import Vocabulary

Input = Literal["words", "characters"]

# It is as fast as the other implementation, and nothing the user could do would change it.
warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")


class Stack(nn.Module):
    """LSTMs of `dim` cells, each projected to P numbers; from the second on what comes in is added to what goes out."""

    def __init__(self, dim: int, projection: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.LSTM(projection, dim, proj_size=projection, batch_first=True) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, L, P) -> one of the same a layer."""
        found: list[Tensor] = []
        for layer in self.layers:
            below = found[-1] if found else x
            out = layer(self.dropout(below))[0]
            found.append(out + below if found else out)
        return found


class TwoWayLSTM(TextEncoder):
    """Vectors of tokens are γ Σ s h over the words' own vectors and all layers, both stacks side by side.

    s, a softmax of `mix`, and γ, `scale`, are equal shares and one while the encoder is frozen or pretrained, and are
    learnt by a task that tunes it. `logits` is for pretraining and for tasks of language models; its table, which no
    other task needs, is trained by pretraining alone.
    """

    def __init__(
        self, *, size: dict[str, Any], pool: Pool, input: Input, dim: int, layers: int, projection: int, dropout: float
    ) -> None:  # fmt: skip
        super().__init__(size, pool)
        if input not in ("words", "characters"):
            raise ValueError(f"model.input is {input}; use words or characters")
        if not 0 < projection < dim:
            raise ValueError(
                f"model.projection is {projection}; use less than model.dim ({dim}), and more than 0"
            )
        self.spec = {
            "class": "TwoWayLSTM", "size": size, "pool": pool, "input": input, "dim": dim, "layers": layers,
            "projection": projection, "dropout": dropout,
        }  # fmt: skip
        self.dim = 2 * projection
        rows = self.size.rows
        self.table = (
            CharacterCNN(rows, projection) if input == "characters" else nn.Embedding(rows, projection)
        )
        if isinstance(self.table, nn.Embedding):
            nn.init.normal_(self.table.weight, std=0.1)
        self.forwards = Stack(dim, projection, layers, dropout)
        self.backwards = Stack(dim, projection, layers, dropout)
        self.mix = nn.Parameter(torch.zeros(layers + 1))
        self.scale = nn.Parameter(torch.ones(1))
        self.output = nn.Linear(projection, rows)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)
        self.pretraining(False)

    def pretraining(self, on: bool) -> Self:
        """Which of the output and the mixing of layers is to be trained: DDP wants a gradient for all that is."""
        self.output.requires_grad_(on)
        self.mix.requires_grad_(not on)
        self.scale.requires_grad_(not on)
        return self

    def learn(self, vocabulary: Vocabulary, method: str) -> Self:
        super().learn(vocabulary, method)
        self._spell()
        return self

    def set_extra_state(self, state: Tensor) -> None:
        super().set_extra_state(state)
        self._spell()

    def _spell(self) -> None:
        if isinstance(self.table, CharacterCNN) and self._vocabulary is not None:
            self.table.learn(self._vocabulary)

    def layers(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(N, L) -> of each direction the words' own vectors, then every layer's, (N, L, P) each.

        At a place the forward ones have read it and what stands before, the backward ones it and what stands after.
        """
        length = (x != self.vocabulary.pad).sum(1)
        words = self.table(x)
        back = [reverse(each, length) for each in self.backwards(reverse(words, length))]
        return [words, *self.forwards(words)], [words, *back]

    def states(self, x: Tensor) -> Tensor:
        both = [torch.cat(pair, 2) for pair in zip(*self.layers(x), strict=True)]
        share = self.mix.softmax(0)
        return self.scale * torch.stack([s * h for s, h in zip(share, both, strict=True)]).sum(0)

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, L) -> scores, (N, L, V) each, of the token after each place and of the one before it."""
        forward, backward = self.layers(x)
        return self.scores(forward[-1]), self.scores(backward[-1])

    def scores(self, states: Tensor) -> Tensor:
        """(..., P) -> (..., V)"""
        own = len(self.vocabulary)
        return nn.functional.linear(states, self.output.weight[:own], self.output.bias[:own])
