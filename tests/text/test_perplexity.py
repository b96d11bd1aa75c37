"""Perplexity: windows against a loop over tokens, a model that knows nothing, and baselines."""

import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.common.device import threads
from modalities.text.baselines import lzma as compressor
from modalities.text.baselines import trigram
from modalities.text.corpus import Texts
from modalities.text.encoders import MaskedTrunk, TwoWayLSTM
from modalities.text.pretexts.causal_lm import CausalLM
from modalities.text.shared import scoring
from modalities.text.transfers import perplexity
from modalities.text.vocabulary import train
from tests.text import toy

KEYS = {"documents": 0, "sentences": 5, "length": 24}


@pytest.fixture
def pretext(toy_texts: Texts, tmp_path: Path) -> CausalLM:
    made = toy.make("causal_lm", toy_texts.only("train"), tmp_path)
    assert isinstance(made, CausalLM)
    return made


@pytest.mark.parametrize("total", [2, 5, 9, 10, 11, 12, 13, 40, 41, 100])
def test_windows_score_every_token_once_with_half_a_window_before_it(total: int) -> None:
    starts, fresh = scoring.windows(total, 8)
    width = min(8, total - 1)
    places = [s + 1 + j for s, f in zip(starts, fresh, strict=True) for j in range(f, width)]
    assert sorted(places) == list(range(1, total))
    for start, first in zip(starts, fresh, strict=True):
        assert start == 0 or first >= 4 - 1


def test_a_model_that_knows_nothing_has_as_many_choices_as_entries(
    pretext: CausalLM, toy_texts: Texts
) -> None:
    own = pretext.packed.vocabulary
    text = scoring.held(toy_texts.only("test"), own, documents=0)
    states, flat = (lambda x: torch.zeros(*x.shape, 1)), (lambda x: torch.zeros(len(x), len(own)))
    lost = scoring.surprise(states, flat, text.stream, length=8, device=torch.device("cpu"))
    found = scoring.measures(lost, text, len(own))
    tokens = len(text.stream) - 1
    raw = toy_texts.only("test").documents(range(len(toy_texts.only("test"))))
    assert found["token"] == pytest.approx(len(own)) and found["token.chance"] == len(own)
    size = sum(len(document.encode()) for document in raw)
    assert found["bits_per_byte"] == pytest.approx(np.log2(len(own)) * tokens / size)
    assert found["bits_per_byte.chance"] == pytest.approx(found["bits_per_byte"])
    assert text.words == sum(len(document.split()) for document in raw) and text.whole


def test_the_transfer_equals_a_loop_over_tokens(pretext: CausalLM, toy_texts: Texts, tmp_path: Path) -> None:
    encoder = pretext.encoder.eval()
    length, lost = encoder.size.positions, 0.0
    stream = scoring.held(toy_texts.only("test"), encoder.vocabulary, documents=3).stream
    starts, fresh = scoring.windows(len(stream), length)
    with torch.no_grad(), threads(1):
        found = perplexity.run(encoder, toy_texts, None, tmp_path, seed=0, **(KEYS | {"documents": 3}))
        for start, first in zip(starts, fresh, strict=True):
            for k in range(first, length):
                x = torch.from_numpy(stream[start : start + k + 1])[None]
                lost -= float(encoder.logits(x)[0, -1].double().log_softmax(0)[stream[start + k + 1]])
    assert found["token"] == pytest.approx(np.exp(lost / (len(stream) - 1)), rel=1e-5)


def test_both_directions_equal_a_loop_over_windows(toy_texts: Texts, tmp_path: Path) -> None:
    encoder = toy.make("bidirectional_lm", toy_texts.only("train"), tmp_path).encoder.eval()
    assert isinstance(encoder, TwoWayLSTM)
    own, length = encoder.vocabulary, KEYS["length"]
    stream = scoring.held(toy_texts.only("test"), own, documents=3).stream
    ways = [np.append(own.start, stream[1:]), np.append(stream[1:], own.end)[::-1].copy()]
    with torch.no_grad(), threads(1):
        found = perplexity.run(encoder, toy_texts, None, tmp_path, seed=0, **(KEYS | {"documents": 3}))
        for back, read in enumerate(ways):
            lost = 0.0
            for start, first in zip(*scoring.windows(len(read), length), strict=True):
                x = torch.from_numpy(read[start : start + length + 1])[None]
                shown = x[:, :-1].flip(1) if back else x[:, :-1]  # as the text stands
                scores = encoder.logits(shown)[back].flip(1) if back else encoder.logits(shown)[back]
                log_p = scores[0].double().log_softmax(1).gather(1, x[0, 1:, None])[:, 0]
                lost -= float(log_p[first:].sum())
            name = "backward_token" if back else "forward_token"
            assert found[name] == pytest.approx(np.exp(lost / (len(read) - 1)), rel=1e-5)


def test_vocabularies_that_lose_letters_have_no_bits_per_byte(toy_texts: Texts) -> None:
    words = train(toy_texts.strings(range(20)), kind="words", size=200, min_count=1)
    text = scoring.held(toy_texts.only("test"), words, documents=0)
    assert not text.whole and set(scoring.measures(1.0, text, len(words))) == {"token", "token.chance"}


def test_pseudo_perplexity_hides_one_token_at_a_time(toy_texts: Texts, tmp_path: Path) -> None:
    size = {key: value for key, value in toy.SIZE.items() if key != "pool"}
    torch.manual_seed(0)
    trunk = MaskedTrunk(size=size, pool="mean", form="bert", factor=0, share=False)
    own = train(toy_texts.strings(range(200)), kind="wordpiece", size=300, min_count=1)
    trunk.learn(own, "x").eval()
    found = perplexity.run(trunk, toy_texts, None, tmp_path, seed=0, **KEYS)
    test = toy_texts.only("test")
    lost, count = 0.0, 0
    with torch.no_grad():
        for sentence in test.strings(np.linspace(0, len(test.sentences) - 1, 5).astype(int)):
            ids = trunk.tokens([sentence])[0]
            for place, token in enumerate(ids.tolist()):
                if token >= own.specials:
                    read: Tensor = ids.clone()[None]
                    read[0, place] = own.mask
                    scores = trunk.logits(trunk.states(read))[0, place].double()
                    lost, count = lost - float(scores.log_softmax(0)[token]), count + 1
    assert found["pseudo_token"] == pytest.approx(np.exp(lost / count), rel=1e-4)


def test_other_encoders_have_none(toy_texts: Texts, tmp_path: Path) -> None:
    assert perplexity.run(toy.tiny_trunk(), toy_texts, None, tmp_path, seed=0, **KEYS) == {}


def test_the_trigram_is_a_distribution_and_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    stream, entries = rng.integers(0, 6, 80), 6
    model = trigram.fitted(stream, 3, entries)

    def loop(history: list[int], token: int) -> float:
        p = 1 / entries
        for n in range(len(history) + 1):
            head = history[len(history) - n :]
            after = [int(stream[i + n]) for i in range(len(stream) - n) if stream[i : i + n].tolist() == head]
            if after:
                p = (after.count(token) + len(set(after)) * p) / (len(after) + len(set(after)))
        return p

    held = rng.integers(0, 6, 30)
    for t, found in enumerate(np.exp(model.logs(held))):
        assert found == pytest.approx(loop(held[max(0, t - 2) : t].tolist(), int(held[t])))
    for head in ([0, 1], [5, 5]):
        assert sum(np.exp(model.logs(np.array([*head, k])))[-1] for k in range(6)) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"trigram\.order is 9 with 8192 entries; use 1 to 4"):
        trigram.fitted(stream, 9, 8192)


def test_baselines_have_the_names_of_the_transfer_and_beat_guessing(toy_texts: Texts) -> None:
    found = trigram.run(toy_texts, seed=0, size=400, order=3, documents=0, passages=20)
    assert found["perplexity.bits_per_byte"] < found["perplexity.bits_per_byte.chance"] / 2
    assert {"perplexity.token", "perplexity.word", "cloze.last_word_choice"} <= set(found)
    packed = compressor.run(toy_texts, seed=0, documents=0)
    alone = "\n\n".join(toy_texts.only("test").documents(range(len(toy_texts.only("test"))))).encode()
    assert 0 < packed["perplexity.bits_per_byte"] < 8 * len(lzma.compress(alone, preset=9)) / len(alone)
