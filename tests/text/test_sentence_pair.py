"""Sentence pair: the head reads the first token, and the types of tokens part the segments."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.text.corpus import Texts
from modalities.text.pretexts.sentence_pair import SentencePair
from tests.text import toy


def made(corpus: Texts, folder: Path, negative: str = "swap") -> SentencePair:
    from tests.conftest import params

    block = params()["text"]["pretexts"]["sentence_pair"]["model"] | {"negative": negative, "pool": "first"}
    SentencePair.build(corpus, folder, seed=0, kind="wordpiece", size=400, length=40, short=0.1)
    return SentencePair(toy.tiny_trunk(), corpus, folder, **block)


def test_types_are_one_in_the_second_segment_alone(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    token = pretext.batch(np.arange(20), np.random.default_rng(0))["token"]
    separator, pad = pretext.encoder.vocabulary.separator, pretext.encoder.vocabulary.pad
    types = pretext.encoder.types(token)
    for row, own in zip(token.tolist(), types.tolist(), strict=True):
        cut, end = row.index(separator), len(row) - row.count(pad)
        assert own[: cut + 1] == [0] * (cut + 1) and own[cut + 1 : end] == [1] * (end - cut - 1)
        assert row[0] == pretext.encoder.vocabulary.start and row[:end].count(separator) == 2


@pytest.mark.parametrize(("negative", "count"), [("random", 2), ("swap", 2), ("three", 3)])
def test_loss_and_accuracies_equal_a_loop(
    negative: str, count: int, toy_texts: Texts, tmp_path: Path
) -> None:
    pretext = made(toy_texts, tmp_path, negative).eval()
    batch = pretext.batch(np.arange(24), np.random.default_rng(0))
    with torch.no_grad():
        found = pretext(batch)
        vector = pretext.encoder(batch["token"])  # pool: first
        logits = pretext.head(vector)
    assert logits.shape == (24, count) and pretext.encoder.pool == "first"
    losses = [-float(row.log_softmax(0)[k]) for row, k in zip(logits, batch["label"], strict=True)]
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    right = (logits.argmax(1) == batch["label"]).numpy()
    assert float(found["accuracy"]) == pytest.approx(right.mean())
    for k, name in enumerate(pretext.names):
        mine = batch["label"].numpy() == k
        assert float(found[name]) == pytest.approx(right[mine].mean())
    assert pretext.chance() == dict.fromkeys(["accuracy", *pretext.names], 1 / count)


def test_eight_pairs_can_be_learnt(toy_texts: Texts, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 2e-3)
    with threads(1):
        for _ in range(100):
            optimizer.zero_grad()
            found = pretext(batch)
            found["loss"].backward()
            optimizer.step()
    assert float(found["accuracy"]) == 1 and len(set(batch["label"].tolist())) == 2


def test_the_trunk_has_positions_for_its_rows_and_its_own_pool(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    assert pretext.encoder.size.positions == pretext.pairs.room + 3 <= 40
    assert pretext.encoder.spec["pool"] == "first"
