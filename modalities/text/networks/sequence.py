"""An encoder and a decoder that writes: the networks of BART and of PEGASUS, from `transformers`, untrained.

Lewis et al. 2019 (arXiv:1910.13461), Zhang et al. 2019 (arXiv:1912.08777). Both parts have `size.layers` layers.
N texts, L tokens read, T tokens written, D = `dim`.
"""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from modalities.text.networks.text_encoder import Pool, TextEncoder
from modalities.text.networks.trunk import export

Form = Literal["bart", "pegasus"]


class EncoderDecoder(TextEncoder):
    """The vectors of a text are its encoder's; the decoder goes along for tasks that write.

    One table of tokens serves both and the output. `form`: BART learns its positions and has its norms last; PEGASUS
    has sinusoids, and its norms first. What is written begins with `begin` and ends with the vocabulary's `end`.
    """

    prior: Tensor  # (rows,)

    def __init__(self, *, size: dict[str, Any], pool: Pool, form: Form) -> None:
        super().__init__(size, pool)
        if form not in ("bart", "pegasus"):
            raise ValueError(f"the form of an encoder-decoder is {form}; use bart or pegasus")
        self.spec = {"class": "EncoderDecoder", "size": size, "pool": pool, "form": form}
        self.form = form
        if form == "pegasus":
            self.prefix, self.suffix = "", "end"
        own, drop = self.size, self.size.dropout
        shape = {
            "vocab_size": own.rows, "max_position_embeddings": own.positions, "d_model": own.width,
            "encoder_layers": own.layers, "decoder_layers": own.layers, "encoder_attention_heads": own.heads,
            "decoder_attention_heads": own.heads, "encoder_ffn_dim": 4 * own.width, "decoder_ffn_dim": 4 * own.width,
            "dropout": drop, "attention_dropout": drop, "activation_dropout": 0.0, "scale_embedding": form == "pegasus",
        }  # fmt: skip
        self.net = _bart(shape) if form == "bart" else _pegasus(shape)
        # safetensors takes a shared tensor once: both parts get vectors, looked up here.
        self.net.encoder.embed_tokens = None
        self.net.decoder.embed_tokens = None
        # A departure from both: scores of tokens begin at how often each occurs, which need not be learnt then.
        self.register_buffer("prior", torch.zeros(own.rows))
        self.scale = math.sqrt(own.width) if form == "pegasus" else 1.0
        self.dim = own.width

    @property
    def begin(self) -> int:
        """The token that a decoder is given first: PEGASUS starts with the pad, BART with the end."""
        return self.vocabulary.pad if self.form == "pegasus" else self.vocabulary.end

    def states(self, x: Tensor) -> Tensor:
        vectors = self._vectors(x)
        found: Tensor = self.net.encoder(
            inputs_embeds=vectors, attention_mask=x != self.vocabulary.pad
        ).last_hidden_state
        return found

    def written(self, states: Tensor, real: Tensor, y: Tensor) -> Tensor:
        """Scores of each target, (N, T, V), given the targets before it; `y` (N, T) is padded on the right.

        `states` (N, L, D) are the encoder's and `real` (N, L) is where they are no pad. The shift is made here.
        """
        given = torch.cat([torch.full_like(y[:, :1], self.begin), y[:, :-1]], 1)
        found = self.net.decoder(
            inputs_embeds=self._vectors(given), encoder_hidden_states=states, encoder_attention_mask=real,
            use_cache=False,
        ).last_hidden_state  # fmt: skip
        return self.scores(found)

    def step(self, x: Tensor, cache: Any, states: Tensor, real: Tensor) -> tuple[Tensor, Any]:
        """Scores of what follows, (N, V), and a cache; then only new tokens are given, (N, 1)."""
        found = self.net.decoder(
            inputs_embeds=self._vectors(x), encoder_hidden_states=states, encoder_attention_mask=real,
            cache=cache, use_cache=True,
        )  # fmt: skip
        return self.scores(found.last_hidden_state[:, -1]), found.cache

    def embedding(self) -> Tensor:
        """(rows, D), the table of token vectors."""
        found: Tensor = self.net.shared.weight
        return found

    def export(self, out: Any) -> None:
        """The whole network as `AutoModel` loads it; the vectors here are its encoder's last hidden states."""
        from transformers import AutoModel

        whole: Any = AutoModel.from_config(self.net.config)  # type: ignore[no-untyped-call]
        whole.load_state_dict(self.net.state_dict(), strict=False)
        whole.tie_weights()
        export(self, whole, Path(out))

    def _vectors(self, x: Tensor) -> Tensor:
        found: Tensor = nn.functional.embedding(x, self.embedding()) * self.scale
        return found

    def scores(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V): of each entry of the vocabulary, by the table that all parts share."""
        entries = len(self.vocabulary)
        return states @ self.embedding()[:entries].T + self.prior[:entries]


def _bart(shape: dict[str, Any]) -> Any:
    from transformers.models.bart.configuration_bart import BartConfig
    from transformers.models.bart.modeling_bart import BartModel

    return BartModel(
        BartConfig(**shape, pad_token_id=None, bos_token_id=None, eos_token_id=None, forced_eos_token_id=None,
                   decoder_start_token_id=None)
    )  # fmt: skip


def _pegasus(shape: dict[str, Any]) -> Any:
    from transformers.models.pegasus.configuration_pegasus import PegasusConfig
    from transformers.models.pegasus.modeling_pegasus import PegasusModel

    return PegasusModel(
        PegasusConfig(**shape, pad_token_id=None, eos_token_id=None, forced_eos_token_id=None,
                      decoder_start_token_id=None)
    )  # fmt: skip
