"""ELMo: each direction knows its own side alone, and both are asked for every word."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.text.corpus import Texts
from modalities.text.encoders import TwoWayLSTM
from modalities.text.networks.character_cnn import LONGEST, CharacterCNN
from modalities.text.pretexts.bidirectional_lm import BidirectionalLM
from stages import store
from tests.text import toy

# Two processes cannot draw the dropout of one.
TOY: dict[str, dict[str, Any]] = {
    "build": {"min_count": 1},
    "model": {"dim": 24, "projection": 16, "dropout": 0.0},
}
BUILD: dict[str, Any] = {"size": 512, "min_count": 1, "length": 12}
MODEL: dict[str, Any] = {"input": "words", "dim": 24, "layers": 2, "projection": 8, "dropout": 0.1}


def made(corpus: Texts, built: Path, *, length: int = 12, **changes: Any) -> BidirectionalLM:
    built.mkdir(exist_ok=True)
    BidirectionalLM.build(corpus, built, seed=0, **(BUILD | {"length": length}))
    torch.manual_seed(0)
    return BidirectionalLM(toy.tiny_trunk(), corpus, built, **(MODEL | changes))


@pytest.mark.parametrize("input", ["words", "characters"])
def test_no_direction_sees_the_word_it_names_or_what_lies_beyond(
    input: str, toy_texts: Texts, tmp_path: Path
) -> None:
    """Gradients of every layer's states, by the word's own vectors, over all pairs of places."""
    encoder = made(toy_texts, tmp_path, input=input).encoder.double().eval()
    x = torch.arange(50, 58)[None]
    words = encoder.table(x).detach().requires_grad_()
    for back in (False, True):
        stack = encoder.backwards if back else encoder.forwards
        for states in stack(words.flip(1) if back else words):
            states = states.flip(1) if back else states
            for t in range(8):
                (slope,) = torch.autograd.grad(states[0, t].square().sum(), words, retain_graph=True)
                reached = (slope[0].abs().sum(1) > 0).tolist()
                assert reached == [s >= t if back else s <= t for s in range(8)]


def test_changing_a_word_leaves_the_scores_of_its_own_place_and_before_as_they_are(
    toy_texts: Texts, tmp_path: Path
) -> None:
    """The scores that name place t come from t - 1, forwards, and from t + 1, backwards."""
    encoder = made(toy_texts, tmp_path).encoder.eval()
    x = torch.arange(50, 60)[None]
    for s in range(10):
        other = x.clone()
        other[0, s] = 70
        (forward, backward), (forward2, backward2) = encoder.logits(x), encoder.logits(other)
        same = (forward == forward2)[0].all(1).tolist()
        assert same == [t < s for t in range(10)]
        assert (backward == backward2)[0].all(1).tolist() == [t > s for t in range(10)]


def test_the_loss_starts_at_twice_the_log_of_the_vocabulary(toy_texts: Texts, tmp_path: Path) -> None:
    """Once the output is told nothing; as it is, it starts at how often each word occurs."""
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(32), np.random.default_rng(0))
    assert float(pretext(batch)["perplexity"]) == pytest.approx(pretext.chance()["perplexity"], rel=0.2)
    torch.nn.init.zeros_(pretext.encoder.output.bias)
    found = pretext(batch)
    entries = len(pretext.packed.vocabulary)
    assert float(found["loss"].detach()) == pytest.approx(2 * math.log(entries), abs=0.1)
    assert float(found["perplexity"]) == pytest.approx(entries, rel=0.1)


def test_the_loss_equals_a_loop_over_places_and_directions(toy_texts: Texts, tmp_path: Path) -> None:
    """One row at a time, without pads: rows of several lengths in one batch change nothing."""
    pretext = made(toy_texts, tmp_path).double().eval()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    own = pretext.packed.vocabulary
    cut = batch["tokens"]
    cut[2, 6], cut[2, 7:], cut[4, 3], cut[4, 4:] = own.end, own.pad, own.end, own.pad
    lost, count = [0.0, 0.0], 0
    with torch.no_grad():
        for row in cut:
            real = row[: int((row != own.pad).sum())]
            forward, backward = (each[0].log_softmax(1) for each in pretext.encoder.logits(real[None]))
            for t in range(1, len(real) - 1):
                lost[0] -= float(forward[t - 1, real[t]])
                lost[1] -= float(backward[t + 1, real[t]])
                count += 1
        found = {name: float(value) for name, value in pretext({"tokens": cut}).items()}
    assert found["loss"] == pytest.approx(sum(lost) / count, rel=1e-5)
    perplexities = [math.exp(each / count) for each in lost]
    assert [found["forward_perplexity"], found["backward_perplexity"]] == pytest.approx(
        perplexities, rel=1e-4
    )
    assert found["perplexity"] == pytest.approx(sum(perplexities) / 2, rel=1e-4)


def test_blocks_are_runs_of_the_stream_between_start_and_end(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    own, stream = pretext.packed.vocabulary, pretext.packed.stream.tolist()
    seen = set()
    for seed in range(3):
        for row in pretext.batch(np.arange(pretext.samples()), np.random.default_rng(seed))[
            "tokens"
        ].tolist():
            assert row[0] == own.start and row[-1] == own.end
            at = [k for k in range(len(stream) - 11) if stream[k : k + 12] == row[1:-1]]
            assert at
            seen.add(at[0] % 12)
    assert len(seen) > 6  # passes cut anew


def test_a_corpus_shorter_than_a_block_is_one_block(tmp_path: Path) -> None:
    pretext = made(toy.of([["a b c", "a c"]]), tmp_path)
    rows = pretext.batch(np.arange(pretext.samples()), np.random.default_rng(0))["tokens"]
    assert len(rows) == 1 and pretext.packed.vocabulary.decode(rows[0].numpy()).split() == list("abcac")
    assert torch.isfinite(pretext({"tokens": rows})["loss"])


def test_nothing_is_shared_by_the_directions_but_words_and_output(toy_texts: Texts, tmp_path: Path) -> None:
    encoder = made(toy_texts, tmp_path).encoder
    one, two = ({id(p) for p in stack.parameters()} for stack in (encoder.forwards, encoder.backwards))
    assert not one & two
    assert not any(
        layer.bidirectional for stack in (encoder.forwards, encoder.backwards) for layer in stack.layers
    )


def test_pads_change_nothing_in_either_direction(toy_texts: Texts, tmp_path: Path) -> None:
    encoder = made(toy_texts, tmp_path).encoder.eval()
    x = encoder.tokens(["the ship saw the storm .", "a ship .", ""])
    wider = torch.nn.functional.pad(x, (0, 9), value=encoder.vocabulary.pad)
    alone = torch.cat(
        [encoder(encoder.tokens([text])) for text in ("the ship saw the storm .", "a ship .", "")]
    )
    torch.testing.assert_close(encoder(wider), alone)
    assert alone.shape == (3, 16)


def test_frozen_layers_are_mixed_evenly_and_a_task_may_learn_how(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    encoder = pretext.encoder.eval()
    x = encoder.tokens(["the ship saw the storm ."])
    forward, backward = encoder.layers(x)
    want = sum(torch.cat([a, b], 2) for a, b in zip(forward, backward, strict=True)) / 3
    torch.testing.assert_close(encoder.states(x), want)
    assert not encoder.mix.requires_grad and encoder.output.weight.requires_grad
    fresh = TwoWayLSTM(**{key: value for key, value in encoder.spec.items() if key != "class"})
    assert fresh.mix.requires_grad and fresh.scale.requires_grad and not fresh.output.weight.requires_grad
    fresh.learn(encoder.vocabulary, "x")
    fresh(x).square().sum().backward()
    assert fresh.mix.grad is not None and fresh.mix.grad.any() and fresh.scale.grad is not None


def test_characters_spell_words_and_survive_a_reload(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path / "built", input="characters")
    encoder = pretext.encoder.eval()
    table = encoder.table
    assert isinstance(table, CharacterCNN)
    own = encoder.vocabulary
    row = table.spelled[own.entries.index("ship")].tolist()
    assert row[:6] == [256, *b"ship", 257] and set(row[6:]) == {259} and len(row) == LONGEST
    specials = table.spelled[: own.specials].tolist()
    assert len({tuple(each) for each in specials}) == own.specials
    store.save_encoder(encoder, tmp_path / "saved", modality="text", method="toy", seed=0)
    again = store.load_encoder(tmp_path / "saved")
    assert isinstance(again, TwoWayLSTM) and again.spec["input"] == "characters"
    x = encoder.tokens(["the ship saw the storm ."])
    assert torch.equal(again(x), encoder(x))
    # A word's vector is its spelling's: no matter which number it has, or what stands beside it.
    torch.testing.assert_close(table(x)[0, 2], table(x[:, 2:3])[0, 0])


def test_characters_learn(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, input="characters")
    batch = pretext.batch(np.arange(4), np.random.default_rng(0))
    optimizer = torch.optim.Adam(pretext.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = pretext(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_settings_that_cannot_be_are_named(toy_texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.input is letters; use words or characters"):
        made(toy_texts, tmp_path, input="letters")
    with pytest.raises(ValueError, match=r"model\.projection is 24; use less than model\.dim \(24\)"):
        made(toy_texts, tmp_path, projection=24)
