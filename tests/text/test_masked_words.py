"""Masked words: the shares that papers give, whole words, fixed and fresh masks, and a loss on hidden places alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.text.corpus import Texts
from modalities.text.pretexts.masked_words import MaskedWords
from modalities.text.shared import masking
from modalities.text.shared.guessing import unigram
from modalities.text.shared.targets import NONE
from modalities.text.vocabulary import train
from tests.text import toy

MODEL: dict[str, Any] = {
    "rate": 0.15, "split": [0.8, 0.1, 0.1], "unit": "token", "pair": "none", "factor": 0, "share": False,
}  # fmt: skip
BUILD: dict[str, Any] = {
    "kind": "wordpiece", "size": 300, "pack": "full_sentences", "length": 24, "short": 0.1, "copies": 0,
}  # fmt: skip


def made(folder: Path, texts: Texts, **changes: Any) -> MaskedWords:
    build = BUILD | {key: value for key, value in changes.items() if key in BUILD}
    model = MODEL | {key: value for key, value in changes.items() if key in MODEL}
    folder.mkdir(exist_ok=True, parents=True)
    MaskedWords.build(texts, folder, seed=0, **build)
    return MaskedWords(toy.tiny_trunk(), texts, folder, **model)


def grid(rows: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of words of 1 to 4 tokens between two special ones: (candidates, starts)."""
    candidates = np.zeros((rows, width), bool)
    for row in candidates:
        row[1 : rng.integers(4, width)] = True
    candidates[:, -1] = False
    return candidates, rng.random((rows, width)) < 0.5


def test_shares_are_those_of_the_paper() -> None:
    own = train(["the cat sat on the mat ."] * 9, kind="wordpiece", size=200, min_count=1)
    rng = np.random.default_rng(0)
    tokens = np.full((1000, 102), own.specials)
    tokens[:, 0], tokens[:, -1] = own.start, own.separator
    wanted = masking.count(tokens, 0.15, own.pad)
    assert set(wanted.tolist()) == {15}
    asked = masking.places(tokens >= own.specials, wanted, rng.random(tokens.shape))
    assert (asked.sum(1) == wanted).all() and not asked[:, [0, -1]].any()
    n, entries = int(asked.sum()), len(own) - own.specials
    read, target = masking.replaced(tokens, asked, (0.8, 0.1, 0.1), rng.random(n), rng.random(n), own)
    assert (read[~asked] == tokens[~asked]).all() and (target[~asked] == NONE).all()
    masked = (read == own.mask)[asked].mean()
    random = (read != tokens)[asked].mean() - masked
    for found, share in ((masked, 0.8), (random, 0.1 * (1 - 1 / entries))):
        assert abs(found - share) < 3 * np.sqrt(share * (1 - share) / n)
    assert read[asked][read[asked] != own.mask].min() >= own.specials
    # Every place is as likely.
    counts = asked[:, 1:-1].sum(0)
    assert abs(counts / 1000 - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 1000)


def test_at_least_one_place_is_asked_and_pads_never() -> None:
    candidates = np.zeros((3, 10), bool)
    candidates[0, 1:4] = candidates[1, 1:2] = True
    tokens = np.where(candidates, 99, 0)
    wanted = masking.count(tokens, 0.15, 0)
    asked = masking.places(candidates, wanted, np.random.default_rng(0).random((3, 10)))
    assert asked.sum(1).tolist() == [1, 1, 0] and not (asked & ~candidates).any()


def slow_words(
    candidates: np.ndarray, starts: np.ndarray, wanted: int, draws: np.ndarray, lengths: np.ndarray | None
) -> np.ndarray:
    """One row, word by word, as the paper's script goes."""
    groups: list[list[int]] = []
    for k in np.flatnonzero(candidates):
        if starts[k] or k == 0 or not candidates[k - 1]:
            groups.append([])
        groups[-1].append(int(k))
    taken: set[int] = set()
    out = np.zeros(len(candidates), bool)
    order = sorted(range(len(groups)), key=lambda w: draws[groups[w][0]])
    for place, w in enumerate(order):
        n = 1
        if lengths is not None:
            n = 1 + int(np.searchsorted(np.array([6, 9, 11]) / 11, lengths[groups[w][0]], side="right"))
        run = [w]
        while (
            len(run) < n and run[-1] + 1 < len(groups) and groups[run[-1] + 1][0] == groups[run[-1]][-1] + 1
        ):
            run.append(run[-1] + 1)
        size = sum(len(groups[v]) for v in run)
        last_hope = not out.any() and place == len(order) - 1
        if taken & set(run) or (out.sum() + size > wanted and not last_hope):
            continue
        taken |= set(run)
        for v in run:
            out[groups[v]] = True
    return out


@pytest.mark.parametrize("ngram", [False, True])
def test_whole_words_equal_a_loop_over_words(ngram: bool) -> None:
    rng = np.random.default_rng(4)
    candidates, starts = grid(200, 30, rng)
    wanted, draws = rng.integers(1, 8, 200), rng.random(candidates.shape)
    lengths = rng.random(candidates.shape) if ngram else None
    found = masking.words(candidates, starts, wanted, draws, lengths)
    for k in range(200):
        want = slow_words(
            candidates[k], starts[k], wanted[k], draws[k], None if lengths is None else lengths[k]
        )
        assert found[k].tolist() == want.tolist(), k


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 120), ("bpe", 320), ("unigram", 110)])
def test_a_word_is_hidden_whole_or_not_at_all(kind: str, size: int, toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_texts, kind=kind, size=size, unit="word", rate=0.3)
    own, index = pretext.packed.vocabulary, np.arange(40)
    target = pretext.batch(index, np.random.default_rng(0))["target"].numpy()
    coded, _ = pretext._rows(index, np.random.default_rng(0))
    tokens, starts = coded & ((1 << 30) - 1), coded >= 1 << 30
    several = 0
    for row, asked in enumerate(target != NONE):
        words = np.split(np.arange(len(asked)), np.flatnonzero(starts[row] | (tokens[row] < own.specials)))
        for word in words:
            real = word[tokens[row][word] >= own.specials] if len(word) else word
            assert len({bool(asked[k]) for k in real}) <= 1
            several += len(real) > 1 and bool(asked[real[0]])
    assert several > 5


def test_masks_are_fresh_each_time_or_come_in_turn(toy_texts: Texts, tmp_path: Path) -> None:
    index, rng = np.arange(12), np.random.default_rng
    fresh = made(tmp_path / "a", toy_texts)
    assert not torch.equal(fresh.batch(index, rng(0))["target"], fresh.batch(index, rng(1))["target"])
    fixed = made(tmp_path / "b", toy_texts, copies=2)
    epochs = []
    for epoch in range(4):
        fixed.before_epoch(lambda index: torch.zeros(0))
        epochs.append(fixed.batch(index, rng(epoch)))
        some = fixed.batch(index[5:7], rng(9))  # whatever else is in the batch
        assert torch.equal(some["target"], epochs[-1]["target"][5:7, : some["target"].shape[1]])
    for name in ("token", "target"):
        assert torch.equal(epochs[0][name], epochs[2][name]) and torch.equal(epochs[1][name], epochs[3][name])
        assert not torch.equal(epochs[0][name], epochs[1][name])
    again = made(tmp_path / "b", toy_texts, copies=2)
    again.load_state_dict(fixed.state_dict())
    assert torch.equal(again.batch(index, rng(7))["target"], epochs[3]["target"])


def test_the_loss_is_a_loop_over_hidden_places(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_texts).eval()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    logits = pretext.encoder.logits(pretext.encoder.states(batch["token"]))
    losses = [
        F.cross_entropy(logits[n, t], batch["target"][n, t])
        for n, t in zip(*torch.nonzero(batch["target"] != NONE, as_tuple=True), strict=True)
    ]
    torch.testing.assert_close(pretext(batch)["loss"], torch.stack(losses).mean())
    assert pretext(batch)["loss"].item() == pytest.approx(np.log(unigram(pretext.packed.tokens)), rel=0.1)
    torch.nn.init.zeros_(pretext.encoder.bias)
    assert pretext(batch)["loss"].item() == pytest.approx(np.log(len(pretext.packed.vocabulary)), rel=0.2)


def test_what_is_hidden_is_not_seen(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_texts).eval()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    other = batch["target"].clone()
    other[other != NONE] = pretext.packed.vocabulary.specials
    first, second = (pretext.encoder.logits(pretext.encoder.states(batch["token"])) for _ in range(2))
    assert torch.equal(first, second)
    assert pretext({**batch, "target": other})["loss"] != pretext(batch)["loss"]
    hidden = batch["token"] == pretext.packed.vocabulary.mask
    assert (batch["target"][hidden] != NONE).all() and hidden.any()


def test_one_small_batch_is_learnt(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_texts).train()
    batch = pretext.batch(np.arange(4), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        pretext(batch)["loss"].backward()
        optimizer.step()
    assert pretext(batch)["accuracy"] > 0.95


@pytest.mark.parametrize("negative", ["random", "swap", "three"])
def test_a_pair_is_judged_beside(negative: str, toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(tmp_path, toy_texts, pack="pairs", length=40, pair=negative)
    found = pretext(pretext.batch(np.arange(8), np.random.default_rng(0)))
    assert found["loss"] > found["pair"] > 0
    answers = 3 if negative == "three" else 2
    assert pretext.chance()["pair_accuracy"] == pytest.approx(1 / answers)
    found["pair"].backward()
    assert any(p.grad is not None and p.grad.any() for p in pretext.encoder.parameters())


def test_forms_follow_the_kind_and_albert_is_smaller(toy_texts: Texts, tmp_path: Path) -> None:
    forms = {"wordpiece": "bert", "bpe": "roberta", "unigram": "albert"}
    for kind, form in forms.items():
        size = 350 if kind == "bpe" else 150
        pretext = made(tmp_path / kind, toy_texts, kind=kind, size=size)
        assert pretext.encoder.form == form
        assert torch.isfinite(pretext(pretext.batch(np.arange(4), np.random.default_rng(0)))["loss"])
    small = made(tmp_path / "s", toy_texts, kind="unigram", size=150, factor=8, share=True)
    assert small.encoder.embedding().shape[1] == 8
    sizes = [sum(x.numel() for x in each.encoder.parameters()) for each in (small, pretext)]
    assert sizes[0] < 0.5 * sizes[1]


def test_settings_that_make_no_sense(toy_texts: Texts, tmp_path: Path) -> None:
    for changes, match in (
        ({"rate": 0.0}, "rate 0.0"),
        ({"split": [0.8, 0.1, 0.2]}, "split summing to 1"),
        ({"unit": "line"}, "use token, word or ngram"),
        ({"pair": "swap"}, "use build.pack pairs"),
        ({"kind": "words"}, "no token for mask"),
        ({"length": 100}, r"text\.encoder\.positions is 64"),
        ({"pack": "stream"}, "masked_words.build.pack is stream"),
    ):
        with pytest.raises(ValueError, match=match):
            made(tmp_path / "x", toy_texts, **changes)
