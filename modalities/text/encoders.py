"""Encoders of text. Each takes token ids, (N, L), and its vocabulary travels inside it. D = `dim`.

`encoder(...)` makes the shared trunk. A method with another architecture (a table of words, GRU, LSTM, GPT,
encoder-decoder) has its encoder class in `modalities/text/networks/NAME.py`, a subclass of `TextEncoder` that takes
`size`, `pool` and what else it needs as keywords; it is imported and listed here, since `encoder.json` rebuilds only
classes that this file shows. The method builds one at the budget of the shared trunk and sets it:

    def __init__(self, encoder, corpus, built, *, ...):
        packed = packing.read(built)
        own = GRUEncoder(size=encoder.spec["size"], pool="last", ...).learn(packed.vocabulary, "skip_thoughts")
        super().__init__(own, corpus, built)

A method that keeps the shared trunk hands it its vocabulary the same way: `encoder.learn(packed.vocabulary, "name")`.
Where only a part of a network is exported, such as the body of a GPT, the class holds that part, and the pretext holds
the head: `self.encoder.net` is the body, and the loss is computed from its states and the pretext's own head.
"""

from dataclasses import asdict

from modalities.text.networks.decoder import Decoder
from modalities.text.networks.masked import MaskedTrunk
from modalities.text.networks.sentence_gru import SentenceGRU
from modalities.text.networks.sequence import EncoderDecoder
from modalities.text.networks.text_encoder import Pool, Size, TextEncoder
from modalities.text.networks.trunk import Trunk
from modalities.text.networks.two_way_lstm import TwoWayLSTM
from modalities.text.networks.word_table import WordTable

__all__ = [
    "Decoder",
    "EncoderDecoder",
    "MaskedTrunk",
    "Pool",
    "SentenceGRU",
    "Size",
    "TextEncoder",
    "Trunk",
    "TwoWayLSTM",
    "WordTable",
    "encoder",
]


def encoder(
    *, vocabulary: int, layers: int, width: int, heads: int, positions: int, dropout: float, pool: Pool
) -> Trunk:
    """The shared trunk: BERT's form, without a vocabulary until a method hands it one.

    `vocabulary` is the most entries any method's may have, `positions` the most tokens of a text.
    """
    size = Size(vocabulary, layers, width, heads, positions, dropout)
    return Trunk(size=asdict(size), pool=pool, form="bert", factor=0, share=False)
