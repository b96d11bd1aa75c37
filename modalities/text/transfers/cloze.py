"""Cloze: which word is missing? The last one of a passage for causal models, any common enough one for masked words.

LAMBADA (arXiv:1606.06031) for the first, with ten to choose from as well. N passages, L tokens, V entries.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalities.base import Index
from modalities.common.device import device
from modalities.text.corpus import Texts, evenly
from modalities.text.encoders import Decoder, MaskedTrunk, TextEncoder
from modalities.text.shared import preview
from modalities.text.shared.cloze import CHOICES, last_words, parted
from modalities.text.shared.likelihood import continued

COMMON = 100  # tokens that are too common to be asked
SHOWN = 6
ROWS = 32
TRAIN = 20_000  # training sentences by which it is known which tokens are common


def run(
    encoder: TextEncoder, corpus: Texts, fit: Any, out: Path, *, seed: int, passages: int
) -> dict[str, float]:
    """causal: last_word (all its pieces are the likeliest), last_word_choice and last_word_choice_mean of ten, by the
    sum and by the mean of its pieces' logs. Masked words: hidden_word, hidden_word@5, hidden_word_choice.

    Chance names the commonest words of the training split, or one of ten. {} for other encoders.
    """
    if not isinstance(encoder, (Decoder, MaskedTrunk)):
        return {}
    training = encoder.training
    encoder.to(device()).eval()
    if isinstance(encoder, Decoder):
        found, lines = causal(encoder, corpus, passages, seed)
    else:
        found, lines = masked(encoder, corpus, passages, seed)
    if lines:
        preview.write(out / "passages.json", lines[:SHOWN])
    encoder.train(training)
    return found


def causal(
    encoder: Decoder, corpus: Texts, count: int, seed: int
) -> tuple[dict[str, float], list[preview.Line]]:
    asked = last_words(corpus.only("test"), count=count, seed=seed)
    if not asked:
        return {}, []
    counted = Counter(word for _, word in parted(corpus.only("train"), TRAIN))
    commonest = max(sorted(counted), key=lambda word: counted[word], default="")
    shape = (len(asked), CHOICES)
    pairs = [(each.context, " " + word) for each in asked for word in each.choices]
    flat, counts, best = continued(encoder, pairs)
    sums, sizes, greedy = flat.reshape(shape), counts.reshape(shape), best.reshape(shape)
    true = np.array([each.choices.index(each.word) for each in asked])
    found = {
        "last_word": float(greedy[np.arange(len(asked)), true].mean()),
        "last_word.chance": float(np.mean([each.word == commonest for each in asked])),
    }
    for name, scores in (("last_word_choice", sums), ("last_word_choice_mean", sums / sizes)):
        found |= {name: float((scores.argmax(1) == true).mean()), f"{name}.chance": 1 / CHOICES}
    lines: list[preview.Line] = []
    for each, scores in zip(asked, sums, strict=True):
        chosen = each.choices[int(scores.argmax())]
        line: preview.Line = [
            (each.context[-200:], ""),
            (chosen, "right" if chosen == each.word else "wrong"),
        ]
        lines.append(line if chosen == each.word else [*line, (each.word, "asked")])
    return found, lines


def masked(
    encoder: MaskedTrunk, corpus: Texts, count: int, seed: int
) -> tuple[dict[str, float], list[preview.Line]]:
    rng = np.random.default_rng(seed)
    ids, places = hidden(encoder, corpus.only("test"), count, rng)
    if not len(ids):
        return {}, []
    counts = common(encoder, corpus.only("train"))
    asked = counts[ids.numpy()] > 0
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    # Of each sentence one word, whole in one token and not among the commonest, where it has any.
    fit_for = whole(encoder, ids) & asked & (rank[ids.numpy()] >= COMMON) & places
    key = np.where(fit_for, rng.random(ids.shape), -1.0)
    rows, at = np.flatnonzero(fit_for.any(1)), key.argmax(1)
    if len(rows) < CHOICES:
        return {}, []
    ids, at = ids[rows], at[rows]
    truth = ids[torch.arange(len(rows)), torch.from_numpy(at)].numpy()
    scores = guessed(encoder, ids, at)
    kinds = np.unique(truth)
    if len(kinds) < CHOICES:
        return {}, []
    top = np.argsort(-scores, 1, kind="stable")[:, :5]
    best = np.argsort(-np.where(rank >= COMMON, counts, -1), kind="stable")[:5]
    choices = np.stack([chosen(kinds, word, rng) for word in truth])
    picked = choices[np.arange(len(rows)), np.take_along_axis(scores, choices, 1).argmax(1)]
    found = {
        "hidden_word": float((top[:, 0] == truth).mean()),
        "hidden_word.chance": float((best[0] == truth).mean()),
        "hidden_word@5": float((top == truth[:, None]).any(1).mean()),
        "hidden_word@5.chance": float(np.isin(truth, best).mean()),
        "hidden_word_choice": float((picked == truth).mean()),
        "hidden_word_choice.chance": 1 / CHOICES,
    }
    own = encoder.vocabulary
    lines = []
    for row, place, said, word in zip(ids.numpy()[:SHOWN], at, top[:, 0], truth, strict=False):
        shown, marks = row.copy(), [""] * len(row)
        shown[place], marks[place] = said, "right" if said == word else "wrong"
        line = preview.pieces(shown, marks, own)  # type: ignore[arg-type]
        lines.append(line if said == word else [*line, (own.entries[word], "asked")])
    return found, lines


def hidden(
    encoder: MaskedTrunk, test: Texts, count: int, rng: np.random.Generator
) -> tuple[Tensor, np.ndarray]:
    """(N, L) ids of sentences evenly spread, and where they are no special tokens."""
    ids = encoder.tokens(test.strings(evenly(len(test.sentences), count)))
    return ids, (ids >= encoder.vocabulary.specials).numpy()


def whole(encoder: MaskedTrunk, ids: Tensor) -> np.ndarray:
    """(N, L): tokens that are a whole word of letters: they begin one, and so does what follows, or it is special."""
    own = encoder.vocabulary
    letters = np.array([entry.strip("Ġ▁").isalpha() for entry in own.entries])
    begins = own.begins | (np.arange(len(own)) < own.specials)
    after = np.roll(begins[ids.numpy()], -1, 1)
    after[:, -1] = True
    found: np.ndarray = own.begins[ids.numpy()] & letters[ids.numpy()] & after
    return found


def common(encoder: MaskedTrunk, train: Texts) -> Index:
    """(V,): how often each entry occurs in training sentences, evenly spread."""
    ids, _ = encoder.vocabulary.encode(train.strings(evenly(len(train.sentences), TRAIN)))
    return np.bincount(ids, minlength=len(encoder.vocabulary)).astype(np.int64)


@torch.no_grad()
def guessed(encoder: MaskedTrunk, ids: Tensor, at: Index) -> np.ndarray:
    """(N, V): scores of what stands at one place of each row, which is hidden."""
    read, found = ids.clone(), []
    read[torch.arange(len(read)), torch.from_numpy(at)] = encoder.vocabulary.mask
    for rows, places in zip(read.split(ROWS), np.split(at, range(ROWS, len(at), ROWS)), strict=True):  # type: ignore[no-untyped-call]
        states = encoder.states(rows.to(device()))
        picked = states[
            torch.arange(len(rows), device=states.device), torch.from_numpy(places).to(states.device)
        ]
        found.append(encoder.logits(picked).float().cpu().numpy())
    return np.concatenate(found)


def chosen(kinds: Index, word: int, rng: np.random.Generator) -> Index:
    """Ten of the words that are asked anywhere, this one among them, in any order."""
    others = [each for each in rng.choice(kinds, CHOICES, replace=False) if each != word][: CHOICES - 1]
    return rng.permutation(np.array([*others, word]))
