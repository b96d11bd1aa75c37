"""How surprising held-out text is to a model of a language: sums of log-probabilities, in windows.

T tokens of a stream, N windows, L tokens of a window, M of them scored, D numbers of a state, V entries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.text.corpus import Texts
from modalities.text.vocabulary import Vocabulary

States = Callable[[Tensor], Tensor]  # (N, L) -> (N, L, D)
Scores = Callable[[Tensor], Tensor]  # (M, D) -> (M, V), of the token after each

WINDOWS = 64  # scored side by side: their scores are the largest thing there is


@dataclass(frozen=True)
class Held:
    """Held-out text as a model is asked for it."""

    stream: Index  # (T,), a separator first and after each document
    words: int  # whitespace units of the raw text
    bytes: int  # of its UTF-8, paragraph marks included
    whole: bool  # whether the tokens give the text back


def held(corpus: Texts, vocabulary: Vocabulary, *, documents: int) -> Held:
    """At most so many documents of the corpus (0: all), the first by id."""
    index = np.arange(min(len(corpus), documents) if documents else len(corpus))
    texts = corpus.documents(index)
    ids, offsets = vocabulary.encode(texts)
    stream = joined(ids, offsets, vocabulary)
    whole = all(
        vocabulary.decode(ids[a:b]) == text for text, a, b in zip(texts, offsets, offsets[1:], strict=False)
    )
    return Held(
        stream, sum(len(text.split()) for text in texts), sum(len(text.encode()) for text in texts), whole
    )


def joined(ids: Index, offsets: Index, vocabulary: Vocabulary) -> Index:
    """What `encode` gave of several texts with a separator before the first and after each."""
    return np.insert(ids, offsets, vocabulary.separator)


def windows(total: int, length: int) -> tuple[Index, Index]:
    """First tokens of windows, and the first place of each that is scored; together all but token 0, each once.

    Windows lie half of one apart, and only what is new in one is scored, with half a window before it or more.
    """
    if total <= length + 1:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    starts = np.arange(0, total - length - 1, max(1, length // 2))
    starts = np.append(starts, total - length - 1)
    ends = starts + length  # the last target of each
    fresh = np.concatenate([[0], ends[:-1] - starts[1:]])
    return starts, fresh


@torch.no_grad()
def surprise(states: States, scores: Scores, stream: Index, *, length: int, device: torch.device) -> float:
    """-Σ ln P(x_t | x_<t) over all tokens of the stream but the first, summed in float64."""
    starts, fresh = windows(len(stream), length)
    width = min(length, len(stream) - 1)
    total = 0.0
    for part in np.array_split(np.arange(len(starts)), -(-len(starts) // WINDOWS)):
        x = torch.from_numpy(stream[starts[part][:, None] + np.arange(width + 1)]).to(device)
        asked = torch.from_numpy(np.arange(width) >= fresh[part][:, None]).to(device)
        found = scores(states(x[:, :-1])[asked]).float()
        total += float(F.cross_entropy(found, x[:, 1:][asked], reduction="none").double().sum())
    return total


def measures(lost: float, text: Held, entries: int) -> dict[str, float]:
    """Perplexity of a token and of a word, and bits of a byte, each beside a model that knows nothing.

    Tokens that end documents count in what is lost, not in words or bytes. Bits of a byte, and perplexity of a word,
    are left out where tokens do not give the text back: a model that may say "unknown" is asked for less.
    """
    tokens = len(text.stream) - 1
    found = {"token": np.exp(lost / tokens), "token.chance": float(entries)}
    if text.whole:
        blind = np.log(entries) * tokens
        bits = np.log(2) * text.bytes
        found |= {
            "word": np.exp(min(lost / text.words, 700.0)),
            "word.chance": np.exp(min(blind / text.words, 700.0)),
            "bits_per_byte": lost / bits,
            "bits_per_byte.chance": blind / bits,
        }
    return {name: float(value) for name, value in found.items()}
