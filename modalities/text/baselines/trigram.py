"""Trigram: an n-gram model of pieces of text, interpolated Witten-Bell, in place of a network.

Witten and Bell 1991; Chen and Goodman 1998. P(w | h) = (c(hw) + t(h) P(w | h')) / (c(h) + t(h)), where t(h) counts the
different tokens after h and h' is h without its oldest; the last level is even over the vocabulary. Tokens are those of
a byte-level BPE, so all bytes are counted. T tokens, V entries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.text import vocabulary
from modalities.text.corpus import Texts
from modalities.text.shared import scoring
from modalities.text.shared.cloze import CHOICES, last_words

Keys = NDArray[np.int64]


def run(
    corpus: Texts, *, seed: int, size: int, order: int, documents: int, passages: int
) -> dict[str, float]:
    """perplexity.token, .word and .bits_per_byte of the first `documents` of the test split (0: all), and
    cloze.last_word, .last_word_choice and .last_word_choice_mean: what `perplexity` and `cloze` have for causal models.

    The vocabulary has `size` entries, of training text; `order` 3 is a trigram.
    """
    train = corpus.only("train")
    read = train.documents(np.arange(len(train)))
    own = vocabulary.train(read, kind="bpe", size=size, min_count=1)
    model = fitted(scoring.joined(*own.encode(read), own), order, len(own))
    text = scoring.held(corpus.only("test"), own, documents=documents)
    measured = scoring.measures(float(-model.logs(text.stream)[1:].sum()), text, len(own))
    found = {f"perplexity.{name}": value for name, value in measured.items()}
    asked = last_words(corpus.only("test"), count=passages, seed=seed)
    if asked:
        sums, sizes = np.zeros((len(asked), CHOICES)), np.ones((len(asked), CHOICES))
        for k, each in enumerate(asked):
            head = np.append(own.separator, own.encode([each.context])[0])[-order:]
            for j, word in enumerate(each.choices):
                piece = own.encode([" " + word])[0]
                sums[k, j] = model.logs(np.concatenate([head, piece]))[len(head) :].sum()
                sizes[k, j] = len(piece)
        true = np.array([each.choices.index(each.word) for each in asked])
        for name, scores in (("last_word_choice", sums), ("last_word_choice_mean", sums / sizes)):
            found |= {
                f"cloze.{name}": float((scores.argmax(1) == true).mean()),
                f"cloze.{name}.chance": 1 / CHOICES,
            }
    return found


@dataclass(frozen=True)
class Ngrams:
    """Counts of runs of 1 .. n tokens, as sorted keys, each run a number in base V."""

    entries: int  # V
    keys: list[Keys]  # of each length
    counts: list[Index]
    follows: list[Index]  # different tokens after the run, by length from 0 on
    total: list[Index]  # and how often any follows

    def logs(self, stream: Index) -> NDArray[np.float64]:
        """(T,): ln P of each token given those before it, as many as there are up to n - 1."""
        p = np.full(len(stream), 1 / self.entries)
        for n in range(len(self.keys)):
            runs = numbered(stream, n + 1, self.entries)  # (T - n,), ending at n .. T - 1
            history = numbered(stream, n, self.entries)[: len(runs)] if n else np.zeros(len(runs), np.int64)
            count = found(self.keys[n], self.counts[n], runs)
            if n:
                kinds, all_of = (
                    found(self.keys[n - 1], each[n], history) for each in (self.follows, self.total)
                )
            else:
                kinds, all_of = np.full(len(runs), self.follows[0][0]), np.full(len(runs), self.total[0][0])
            lower = p[n:]
            seen = all_of > 0
            better = (count + kinds * lower) / np.maximum(all_of + kinds, 1)
            p[n:] = np.where(seen, better, lower)
        logs: NDArray[np.float64] = np.log(p)
        return logs


def fitted(stream: Index, order: int, entries: int) -> Ngrams:
    """Counts of a stream. Raises ValueError where runs of so many tokens have no number of 63 bits."""
    if order < 1 or entries**order >= 1 << 63:
        raise ValueError(
            f"text.baselines.trigram.order is {order} with {entries} entries; use 1 to {int(62 // np.log2(entries))}"
        )
    keys: list[Keys] = []
    counts: list[Index] = []
    follows = [np.array([len(np.unique(stream))])]
    total = [np.array([len(stream)])]
    for n in range(1, order + 1):
        own, count = np.unique(numbered(stream, n, entries), return_counts=True)
        if n > 1:
            # A run's history is its number without the last digit: sorted runs of one history lie side by side.
            at = np.searchsorted(keys[-1], own // entries)
            follows.append(np.bincount(at, minlength=len(keys[-1])))
            total.append(np.bincount(at, count, minlength=len(keys[-1])).astype(np.int64))
        keys.append(own)
        counts.append(count.astype(np.int64))
    return Ngrams(entries, keys, counts, follows, total)


def numbered(stream: Index, n: int, entries: int) -> Keys:
    """(T - n + 1,): each run of n tokens as a number."""
    out = np.zeros(max(0, len(stream) - n + 1), np.int64)
    for k in range(n):
        out = out * entries + stream[k : k + len(out)]
    return out


def found(keys: Keys, values: Index, wanted: Keys) -> Index:
    """(len(wanted),): the value of each key, 0 for those that are not there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
