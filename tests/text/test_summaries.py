"""Summaries: beam search against all texts there are, relevance against a loop, and baselines in their order."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.text.baselines import lead, oracle, random_sentences
from modalities.text.encoders import EncoderDecoder
from modalities.text.shared import beam
from modalities.text.shared.summarised import cases, interval, sets
from modalities.text.transfers import summaries
from modalities.text.vocabulary import train
from tests.text import toy

CHOICE: dict[str, Any] = {"sentences": 1, "limit": 20, "stem": False}
KEYS = CHOICE | {
    "samples": 16, "batch": 4, "lr": 1e-3, "most": 12, "beams": 2, "penalty": 0.8, "repeat": 3, "bootstrap": 50,
}  # fmt: skip


def small(form: str) -> EncoderDecoder:
    texts = toy.documents(12).strings(range(40))
    size = {key: value for key, value in toy.SIZE.items() if key != "pool"}
    torch.manual_seed(0)
    made = EncoderDecoder(size=size, pool="mean", form=form)  # type: ignore[arg-type]
    return made.learn(train(texts, kind="unigram", size=400, min_count=1), "x").eval()


@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_a_wide_beam_finds_the_best_of_all_texts(penalty: float) -> None:
    encoder = small("bart")
    own = encoder.vocabulary
    entries = range(own.specials, own.specials + 5)
    x = encoder.tokens(["The ship saw the storm ."])
    allowed = [own.end, *entries]
    with torch.no_grad(), threads(1):
        states, real = encoder.states(x), x != own.pad
        plain = encoder.scores
        barred = torch.tensor([k for k in range(len(own)) if k not in allowed])

        def scores(states: torch.Tensor) -> torch.Tensor:
            return plain(states).index_fill(-1, barred, -1e9)

        encoder.scores = scores  # type: ignore[method-assign]
        found = beam.search(encoder, states, real, beams=40, most=3, penalty=penalty, repeat=0)[0]
        best = {}
        for length in range(3):
            for text in itertools.product(entries, repeat=length):
                y = torch.tensor([[*text, own.end]])
                log_p = encoder.written(states, real, y).log_softmax(2).gather(2, y[..., None]).sum()
                best[text] = float(log_p) / (length + 1) ** penalty
    assert best[tuple(found)] == pytest.approx(max(best.values()), abs=1e-4)


def test_no_run_of_three_is_written_twice() -> None:
    scores, text = torch.zeros(1, 9), torch.tensor([[4, 5, 6, 7, 4, 5]])
    beam._bar(scores, text, 3)
    assert scores[0].isinf().nonzero()[:, 0].tolist() == [6]
    encoder = small("pegasus")
    x = encoder.tokens(["The ship saw the storm .", "A baker ."])
    with torch.no_grad(), threads(1):
        texts = beam.search(
            encoder, encoder.states(x), x != encoder.vocabulary.pad, beams=2, most=30, penalty=0.8, repeat=3
        )
    for made in texts:
        runs = [tuple(made[i : i + 3]) for i in range(len(made) - 2)]
        assert len(set(runs)) == len(runs) and len(made) < 30
        assert all(token >= encoder.vocabulary.specials for token in made)


def test_relevance_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 5)).astype(np.float32)
    mean = vectors.mean(0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    want: list[int] = []
    for _ in range(4):
        gains = {
            k: 0.7 * cosine(vectors[k], mean)
            - 0.3 * max([cosine(vectors[k], vectors[j]) for j in want], default=0.0)
            for k in range(9)
            if k not in want
        }
        want.append(max(gains, key=gains.__getitem__))
    assert summaries.relevant(vectors, 4).tolist() == want
    assert len(summaries.relevant(vectors[:2], 4)) == 2


def test_references_are_summaries_titles_or_sentences_taken_out() -> None:
    corpus = toy.documents(16)
    kind, titled = cases(corpus, "test", limit=10)
    assert kind == "titles" and titled.references[0].startswith("Title")
    bare = toy.of([corpus.strings(range(*corpus.first[k : k + 2])) for k in range(16)])
    object.__setattr__(bare, "titles", [""] * 16)
    kind, pseudo = cases(bare, "train", limit=16)
    assert kind == "pseudo"
    for k, (rest, taken) in enumerate(zip(pseudo.sentences, pseudo.references, strict=True)):
        assert sorted([*rest, taken]) == sorted(bare.strings(range(*bare.first[k : k + 2])))
    summed = toy.of([["A .", "B .", "C ."]] * 2, summaries=["B .", ""])
    assert cases(summed, "train", limit=5)[0] == "" and len(cases(summed, "train", limit=5)[1]) == 1


def test_the_oracle_beats_lead_and_chance_under_the_transfer_s_names(tmp_path: Path) -> None:
    corpus = toy.documents(80)
    object.__setattr__(corpus, "titles", [""] * 80)
    found = [run(corpus, seed=0, **CHOICE) for run in (oracle.run, lead.run, random_sentences.run)]
    best = found[0]["summaries (pseudo).rouge1"]
    assert all(best >= each["summaries (pseudo).rouge1"] for each in found) and best > 0
    assert {m.split(".")[1] for m in found[0]} == {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert set(sets(corpus, limit=5)) == {"pseudo"}


def test_models_that_write_are_tuned_and_asked_and_keep_their_weights(tmp_path: Path) -> None:
    corpus, encoder = toy.documents(16), small("pegasus")
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    asked: list[str] = []

    def fit(pretext: summaries.Written, *, label: str, **changes: float) -> None:
        asked.append(label)
        loss = pretext(pretext.batch(np.arange(4), np.random.default_rng(0)))["loss"]
        assert torch.isfinite(loss) and changes["samples"] == 16

    with threads(1):
        found = summaries.run(encoder, corpus, fit, tmp_path, seed=0, **(KEYS | {"limit": 4}))
    assert asked == ["summaries titles"]
    assert {"titles/rouge1", "titles/zero_shot_rouge1", "titles/tuned_rougeLsum"} <= set(found)
    assert all(torch.equal(value, before[name]) for name, value in encoder.named_parameters())
    assert (tmp_path / "titles.json").exists()


def test_intervals_hold_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 400).tolist()
    low, high = interval(values, times=1000, seed=0)
    assert low < np.mean(values) < high and high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.2)
