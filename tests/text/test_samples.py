"""Samples: the sampler against loops, text learnt by heart, and prompts that fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.text.corpus import Texts
from modalities.text.pretexts.causal_lm import CausalLM
from modalities.text.shared import prompting, sampling
from modalities.text.shared.likelihood import continued
from modalities.text.transfers import samples
from tests.text import toy

NONE = torch.zeros(0, dtype=torch.int64)
KEYS: dict[str, Any] = {
    "prompts": 3, "given": 6, "free": ["The ship"], "written": 30, "temperature": 0.8, "top_k": 40, "nucleus": 0.95,
    "shots": [0, 2], "draws": 2, "limit": 8,
}  # fmt: skip


@pytest.fixture
def learnt(tmp_path: Path) -> CausalLM:
    """A model that knows one block by heart."""
    torch.manual_seed(0)
    pretext = toy.make("causal_lm", toy.documents(8), tmp_path)
    assert isinstance(pretext, CausalLM)
    batch = pretext.batch(np.array([0]), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 3e-3)
    with threads(1):
        for _ in range(120):
            optimizer.zero_grad()
            pretext(batch)["loss"].backward()
            optimizer.step()
    pretext.eval()
    pretext.block = batch["token"]
    return pretext


def greedy(pretext: CausalLM, prompt: torch.Tensor, count: int, **changes: float) -> torch.Tensor:
    settings: dict[str, Any] = {"temperature": 0.0, "top_k": 0, "nucleus": 1.0} | changes
    return sampling.sampled(
        pretext.encoder.step, prompt, count=count, positions=pretext.encoder.size.positions, barred=NONE,
        generator=torch.Generator().manual_seed(0), **settings,
    )  # fmt: skip


def test_greedy_text_of_a_block_learnt_by_heart_is_the_block_cached_or_not(learnt: CausalLM) -> None:
    block: torch.Tensor = learnt.block  # type: ignore[assignment]
    made = greedy(learnt, block[:, :4], 20)
    assert torch.equal(made, block[:, :24])
    with torch.no_grad():
        plain = block[:, :4]
        for _ in range(20):
            plain = torch.cat([plain, learnt.encoder.logits(plain)[:, -1].argmax(1, keepdim=True)], 1)
    assert torch.equal(plain, made)
    assert torch.equal(greedy(learnt, block[:, :4], 20, temperature=1.0, top_k=1), made)


def test_a_text_longer_than_the_positions_goes_on(learnt: CausalLM) -> None:
    block: torch.Tensor = learnt.block  # type: ignore[assignment]
    assert greedy(learnt, block[:, :4], 70).shape == (1, 74)


def test_the_nucleus_is_the_smallest_set_with_its_mass() -> None:
    torch.manual_seed(0)
    scores = torch.randn(50, 12) * 2
    for mass in (0.1, 0.5, 0.9, 1.0):
        kept = sampling.filtered(scores, top_k=0, nucleus=mass).isfinite()
        for row, own in zip(scores.double().softmax(1), kept, strict=True):
            want: set[int] = set()
            total = 0.0
            for k in row.argsort(descending=True).tolist():
                if total >= mass and want:
                    break
                want.add(k)
                total += float(row[k])
            assert set(own.nonzero()[:, 0].tolist()) == want
    best = sampling.filtered(scores, top_k=3, nucleus=1.0).isfinite()
    assert (best.sum(1) == 3).all() and torch.equal(
        best.nonzero()[:, 1].view(50, 3), scores.topk(3, 1).indices.sort(1).values
    )


def test_shares_of_runs_equal_loops() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 4, 40) for _ in range(5)]
    source = rng.integers(0, 4, 100)
    runs = [[tuple(t[i : i + 3]) for i in range(38)] for t in texts]
    every = [run for each in runs for run in each]
    there = {tuple(source[i : i + 3]) for i in range(98)}
    assert sampling.distinct(texts, 3) == pytest.approx(len(set(every)) / len(every))
    assert sampling.repeated(texts, 3) == pytest.approx(1 - sum(len(set(each)) for each in runs) / len(every))
    assert sampling.copied(texts, source, 3) == pytest.approx(np.mean([run in there for run in every]))


def test_one_seed_writes_one_text_and_says_how(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = toy.make("causal_lm", toy_texts.only("train"), tmp_path)
    assert isinstance(pretext, CausalLM)
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        found = samples.run(pretext.encoder, toy_texts, None, tmp_path / name, seed=seed, **KEYS)
        made.append((tmp_path / name / "samples.json").read_text())
        assert {"distinct-1", "distinct-2", "repeated-4", "copied-8", "copied-8.chance"} == set(found)
        assert all(0 <= value <= 1 for value in found.values())
    assert made[0] == made[1] != made[2]
    lines = json.loads(made[0])
    assert len(lines) == 4 and all([mark for _, mark in line][:2] == ["", "written"] for line in lines)
    assert json.loads((tmp_path / "a" / "settings.txt").read_text())["top_k"] == 40
    assert samples.run(toy.tiny_trunk(), toy_texts, None, tmp_path, seed=0, **KEYS) == {}


def test_likelihoods_equal_a_loop(learnt: CausalLM) -> None:
    encoder, own = learnt.encoder, learnt.packed.vocabulary
    pairs = [("The ship", " saw the storm"), ("", "A baker ."), ("Then every wave left the ship .", " Was")]
    sums, sizes, _ = continued(encoder, pairs)
    for (head, tail), found, size in zip(pairs, sums, sizes, strict=True):
        start, asked = own.encode([head])[0].tolist(), own.encode([tail])[0].tolist()
        text, want = [own.separator, *start], 0.0
        for token in asked:
            kept = torch.tensor([[*text, token][-(encoder.size.positions + 1) :]])
            with torch.no_grad():
                want += float(encoder.logits(kept[:, :-1])[0, -1].log_softmax(0)[token])
            text.append(token)
        assert size == len(asked) and found == pytest.approx(want, rel=1e-3, abs=1e-3)


def test_prompts_too_long_lose_their_oldest_examples_whole(learnt: CausalLM) -> None:
    own = learnt.packed.vocabulary
    shots = [f"the ship {'saw ' * k}.\n" for k in (5, 1, 2)]
    lengths = [len(own.encode([shot])[0]) for shot in shots]
    asked = ["A ship"]
    size = len(own.encode(asked)[0]) + 1
    for room, kept in (
        (200, 3),
        (size + lengths[2] + lengths[1], 2),
        (size + lengths[2], 1),
        (size, 0),
        (1, 0),
    ):
        assert prompting.fitting(learnt.encoder, shots, asked, room) == [
            "".join(shots[3 - kept :]) + "A ship"
        ]
