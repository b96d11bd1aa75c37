"""CBOW: the mean of the words around, asked for the word between them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.text.corpus import Texts
from modalities.text.pretexts.cbow import CBOW
from modalities.text.shared import windows
from tests.text import toy

TOY = {"model": {"subsample": 1.0e6, "dim": 16}}


def made(corpus: Texts, built: Path, **changes: object) -> CBOW:
    built.mkdir(exist_ok=True)
    CBOW.build(corpus, built, seed=0, size=512, min_count=1)
    model = {
        "dim": 8,
        "window": 2,
        "subsample": 1e6,
        "softmax": "negative",
        "negatives": 5,
        "pool": 16,
    } | changes
    torch.manual_seed(0)
    found = CBOW(toy.tiny_trunk(), corpus, built, **model)  # type: ignore[arg-type]
    torch.nn.init.normal_(found.output.table.weight)
    torch.nn.init.normal_(found.encoder.table.weight)
    return found


@pytest.mark.parametrize("softmax", ["negative", "hierarchical"])
def test_the_loss_equals_a_loop(softmax: str, toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, window=3, pool=7, softmax=softmax)
    batch = pretext.batch(np.arange(9), np.random.default_rng(0))
    inputs, outputs = pretext.encoder.table.weight.detach(), pretext.output.table.weight.detach()
    nodes, turns = windows.huffman(pretext.reader.occurs)
    centres = pretext.reader.centres(batch)
    lost, count = 0.0, 0
    for n, b in ((batch["left"] + batch["right"]) > 0).nonzero().tolist():
        at = b + 3
        left, right = int(batch["left"][n, b]), int(batch["right"][n, b])
        around = [batch["words"][n, k] for k in range(at - left, at + right + 1) if k != at]
        mean = torch.stack([inputs[word] for word in around]).mean(0)
        word = int(centres[n, b])
        if softmax == "negative":
            lost -= math.log(torch.sigmoid(outputs[word] @ mean))
            for negative in batch["negatives"][n]:
                if negative != word:
                    lost -= math.log(torch.sigmoid(-outputs[negative] @ mean)) * 5 / 7
        else:
            for node, turn in zip(nodes[word], turns[word], strict=True):
                lost -= math.log(torch.sigmoid(turn * outputs[node] @ mean)) if turn else 0
        count += 1
    assert count == (pretext.reader.occurs[centres.numpy()] > 0).sum()
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(lost / count, rel=1e-5)


def test_a_word_without_neighbours_is_not_asked_for(tmp_path: Path) -> None:
    pretext = made(toy.of([["left the right"] * 4]), tmp_path)
    pretext.reader.stays[:] = 0
    pretext.reader.stays[pretext.encoder.vocabulary.entries.index("left")] = 1
    loss = pretext(pretext.batch(np.arange(4), np.random.default_rng(0)))["loss"]
    assert float(loss.detach()) == 0


def test_words_of_identical_contexts_end_close_and_others_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [
        (("cat", "dog"), "the {} sat on my warm mat today"),
        (("paris", "rome"), "we flew over {} in a large plane again"),
    ]
    text = [frame.format(rng.choice(words)) for words, frame in (frames[k % 2] for k in range(600))]
    pretext = made(toy.of([text]), tmp_path, window=4, dim=16, pool=32)
    torch.nn.init.zeros_(pretext.output.table.weight)
    torch.nn.init.uniform_(pretext.encoder.table.weight, -0.03, 0.03)
    optimizer = torch.optim.Adam(pretext.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        pretext(pretext.batch(rng.integers(0, pretext.samples(), 64), rng))["loss"].backward()
        optimizer.step()
    words = pretext.encoder.words()
    assert torch.cosine_similarity(words["cat"], words["dog"], 0) > 0.9
    assert torch.cosine_similarity(words["cat"], words["rome"], 0) < 0.6
