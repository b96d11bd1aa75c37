"""The trunk that most text methods share: BERT's encoder, or RoBERTa's or ALBERT's, from `transformers`, untrained.

Devlin et al. 2018 (arXiv:1810.04805), Liu et al. 2019 (arXiv:1907.11692), Lan et al. 2019 (arXiv:1909.11942).
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from modalities.text.networks.text_encoder import Pool, TextEncoder

Form = Literal["bert", "roberta", "albert"]


class Trunk(TextEncoder):
    """Self-attention over tokens, both ways. `factor` and `share` are ALBERT's: width of the table of token vectors
    (0: that of the network), and one set of weights for all layers.

    `net` is the network of `transformers`, without pooler and head: its `get_input_embeddings().weight` is (rows, width
    or factor) for a head that is tied to it. D = width.
    """

    def __init__(self, *, size: dict[str, Any], pool: Pool, form: Form, factor: int, share: bool) -> None:
        super().__init__(size, pool)
        self.spec = {
            "class": "Trunk",
            "size": size,
            "pool": pool,
            "form": form,
            "factor": factor,
            "share": share,
        }
        if form not in FORMS:
            raise ValueError(f"the form of a trunk is {form}; use {', '.join(FORMS)}")
        if form != "albert" and (factor or share):
            raise ValueError(
                "model.factor and model.share are ALBERT's; use them with unigram or wordpiece pieces"
            )
        self.form = form
        self.net = FORMS[form](self, factor, share)
        self.dim = self.size.width

    def states(self, x: Tensor) -> Tensor:
        mask = x != self.vocabulary.pad
        found: Tensor = self.net(
            input_ids=x, attention_mask=mask, token_type_ids=self.types(x)
        ).last_hidden_state
        return found

    def types(self, x: Tensor) -> Tensor:
        """(N, L): 1 after the first separator, else 0; RoBERTa knows one type alone."""
        if self.form == "roberta":
            return torch.zeros_like(x)
        ends = (x == self.vocabulary.separator).cumsum(1)
        return (ends - (x == self.vocabulary.separator).long() > 0).long()

    def embedding(self) -> Tensor:
        """(rows, factor or width), the table of token vectors, for heads that are tied to it."""
        found: Tensor = self.net.get_input_embeddings().weight
        return found

    def export(self, out: Path) -> None:
        """config.json, model.safetensors and tokenizer files: `AutoModel` and `AutoTokenizer` load them.

        Means over the tokens that are not special of its last hidden state are this encoder's vectors, for `mean`.
        """
        export(self, self.net, out)


def export(encoder: TextEncoder, net: Any, out: Path) -> None:
    """A network of `transformers` with the vocabulary of an encoder, as that library writes both."""
    from transformers import PreTrainedTokenizerFast

    own = encoder.vocabulary
    named = {"pad": "pad_token", "unknown": "unk_token", "start": "cls_token", "separator": "sep_token",
             "mask": "mask_token"}  # fmt: skip
    special = {}
    for role, name in named.items():
        try:
            special[name] = own.entries[getattr(own, role)]
        except ValueError:
            continue  # this kind of vocabulary has none
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=own.tokenizer,
        model_max_length=encoder.size.positions,
        split_special_tokens=True,
        **special,
    )
    net.config.pad_token_id = own.pad
    net.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _common(trunk: Trunk) -> dict[str, Any]:
    size = trunk.size
    return {
        "vocab_size": size.rows,
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.width,
        "hidden_dropout_prob": size.dropout,
        "attention_probs_dropout_prob": size.dropout,
    }


def _bert(trunk: Trunk, factor: int, share: bool) -> Any:
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    config = BertConfig(**_common(trunk), max_position_embeddings=trunk.size.positions, pad_token_id=0)
    return BertModel(config, add_pooling_layer=False)


def _roberta(trunk: Trunk, factor: int, share: bool) -> Any:
    """Its positions are counted from the id of the pad, plus one."""
    from transformers.models.roberta.configuration_roberta import RobertaConfig
    from transformers.models.roberta.modeling_roberta import RobertaModel

    config = RobertaConfig(
        **_common(trunk), max_position_embeddings=trunk.size.positions + 2, pad_token_id=1, type_vocab_size=1,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    return RobertaModel(config, add_pooling_layer=False)


def _albert(trunk: Trunk, factor: int, share: bool) -> Any:
    from transformers.models.albert.configuration_albert import AlbertConfig
    from transformers.models.albert.modeling_albert import AlbertModel

    config = AlbertConfig(
        **_common(trunk), max_position_embeddings=trunk.size.positions, pad_token_id=0,
        embedding_size=factor or trunk.size.width, num_hidden_groups=1 if share else trunk.size.layers,
    )  # fmt: skip
    return AlbertModel(config, add_pooling_layer=False)


FORMS = {"bert": _bert, "roberta": _roberta, "albert": _albert}
