"""Perplexity: how surprising held-out documents are to a model of a language.

Causal models and both directions of ELMo are scored in windows half of one apart. Masked words have no probability of a
text; theirs is pseudo-perplexity, each token hidden alone (Salazar et al. 2020, arXiv:1910.14659). Only bits of a byte
and perplexity of a word compare between vocabularies. L tokens of a window.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modalities.base import Index
from modalities.common.device import device
from modalities.text.corpus import Texts, evenly
from modalities.text.encoders import Decoder, MaskedTrunk, TextEncoder, TwoWayLSTM
from modalities.text.shared import scoring

ROWS = 64  # copies of a sentence, each with another token hidden, that are read at a time


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Any,
    out: Path,
    *,
    seed: int,
    documents: int,
    sentences: int,
    length: int,
) -> dict[str, float]:
    """Of the first `documents` of the test split (0: all). {} where the encoder is no model of a language.

    causal: token, word, bits_per_byte. ELMo: forward_token, backward_token and both_token, the mean of the two
    directions' logs, in windows of `length`. Masked words: pseudo_token over `sentences` sentences.
    """
    if not isinstance(encoder, (Decoder, TwoWayLSTM, MaskedTrunk)):
        return {}
    where, training = device(), encoder.training
    encoder.to(where).eval()
    test = corpus.only("test")
    if isinstance(encoder, MaskedTrunk):
        found = pseudo(encoder, test, where, sentences=sentences)
    else:
        text = scoring.held(test, encoder.vocabulary, documents=documents)
        if isinstance(encoder, Decoder):
            width = encoder.size.positions
            lost = scoring.surprise(encoder.states, encoder.scores, text.stream, length=width, device=where)
            found = scoring.measures(lost, text, len(encoder.vocabulary))
        else:
            found = both_ways(encoder, text, where, length=length)
    encoder.train(training)
    return found


def both_ways(
    encoder: TwoWayLSTM, text: scoring.Held, where: torch.device, *, length: int
) -> dict[str, float]:
    """Of each direction, and of the mean of their logs. Unknown words are one token: words and bytes are left out."""
    own = encoder.vocabulary
    stream = text.stream.copy()
    stream[0] = own.start

    def surprise(stack: nn.Module, stream: Index) -> float:
        return scoring.surprise(
            lambda x: stack(encoder.table(x))[-1], encoder.scores, stream, length=length, device=where
        )

    forward = surprise(encoder.forwards, stream)
    # From the other side a window is read back to front, and what precedes a token is what follows it.
    back = np.concatenate([text.stream[1:], [own.end]])[::-1].copy()
    backward = surprise(encoder.backwards, back)
    found: dict[str, float] = {}
    for name, lost in (("forward", forward), ("backward", backward), ("both", (forward + backward) / 2)):
        measured = scoring.measures(lost, text, len(own))
        found |= {f"{name}_token": measured["token"], f"{name}_token.chance": measured["token.chance"]}
    return found


@torch.no_grad()
def pseudo(encoder: MaskedTrunk, test: Texts, where: torch.device, *, sentences: int) -> dict[str, float]:
    """exp of the mean of -ln P(token | the rest of its sentence), over sentences evenly spread."""
    own = encoder.vocabulary
    some = evenly(len(test.sentences), sentences)
    lost, count = 0.0, 0
    for row in encoder.tokens(test.strings(some)).to(where):
        row = row[row != own.pad]
        places = (row >= own.specials).nonzero()[:, 0]
        for some_places in places.split(ROWS):
            read = row.repeat(len(some_places), 1)
            at = torch.arange(len(some_places), device=where)
            read[at, some_places] = own.mask
            scores = encoder.logits(encoder.states(read)[at, some_places]).float().log_softmax(1)
            lost -= float(scores.gather(1, row[some_places][:, None]).double().sum())
        count += len(places)
    return {"pseudo_token": float(np.exp(lost / max(1, count))), "pseudo_token.chance": float(len(own))}
