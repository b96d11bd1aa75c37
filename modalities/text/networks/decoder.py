"""The body of a GPT: self-attention over what stands before, from `transformers`, untrained.

Radford et al. 2018 and 2019 (GPT, GPT-2: norms first, output tied to the table of tokens, layers on the residual path
started smaller by the square root of their number). N texts, L tokens, R rows of the table, D = `dim`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modalities.text.networks.text_encoder import Pool, TextEncoder
from modalities.text.networks.trunk import export


class Decoder(TextEncoder):
    """Vectors of tokens from the tokens up to them; each text opens with the token that ends documents.

    Pads stand on the right, where no real token sees them. `logits`, `extend`, `step` are for language models' tasks.
    """

    prior: Tensor  # (R,)
    prefix = "separator"
    suffix = ""

    def __init__(self, *, size: dict[str, Any], pool: Pool) -> None:
        super().__init__(size, pool)
        if pool == "first":
            raise ValueError("a causal model's first token has seen nothing; use mean or last for its pool")
        from transformers.models.gpt2.configuration_gpt2 import GPT2Config
        from transformers.models.gpt2.modeling_gpt2 import GPT2Model

        self.spec = {"class": "Decoder", "size": size, "pool": pool}
        own, drop = self.size, self.size.dropout
        config = GPT2Config(
            vocab_size=own.rows, n_positions=own.positions, n_embd=own.width, n_layer=own.layers, n_head=own.heads,
            resid_pdrop=drop, embd_pdrop=drop, attn_pdrop=drop, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        self.net = GPT2Model(config)
        # A departure from GPT: scores of tokens begin at how often each occurs, which need not be learnt then.
        self.register_buffer("prior", torch.zeros(own.rows))
        self.dim = own.width

    def states(self, x: Tensor) -> Tensor:
        found: Tensor = self.net(input_ids=x, use_cache=False).last_hidden_state
        return found

    def logits(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, L, V): scores of the token after each, over the entries of the vocabulary."""
        return self.scores(self.states(x))

    def extend(self, x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """(N, L) -> vectors, (N, L, D), and a cache: the next call then takes new tokens alone.

        None is the cache of a beginning. Rows are as long as each other, without pads before new tokens.
        """
        found = self.net(input_ids=x, cache=cache, use_cache=True)
        return found.last_hidden_state, found.cache

    def step(self, x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """As `extend`, but scores of what follows the last token, (N, V)."""
        states, cache = self.extend(x, cache)
        return self.scores(states[:, -1]), cache

    def embedding(self) -> Tensor:
        """(R, D), the table of token vectors, which the output is tied to."""
        return self.net.wte.weight

    def scores(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        entries = len(self.vocabulary)
        return states @ self.embedding()[:entries].T + self.prior[:entries]

    def export(self, out: Any) -> None:
        """config.json, model.safetensors and tokenizer files: `AutoModel` loads the body.

        A text is to open with the end token, and is not to be closed.
        """
        export(self, self.net, Path(out))
