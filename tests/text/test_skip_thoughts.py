"""Skip-thoughts: neighbours are told from a vector, and from nothing else of the sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import SentenceGRU
from modalities.text.networks.recurrent import reverse
from modalities.text.pretexts.skip_thoughts import SkipThoughts
from tests.text import toy

TOY: dict[str, dict[str, Any]] = {"build": {"min_count": 1, "words": 12}, "model": {"dim": 16, "word": 8}}
BUILD: dict[str, Any] = {"size": 512, "min_count": 1, "words": 12}
MODEL: dict[str, Any] = {"dim": 16, "word": 8, "both": True, "dropped": 0.2}


def made(corpus: Texts, built: Path, *, words: int = 12, **changes: Any) -> SkipThoughts:
    built.mkdir(exist_ok=True)
    SkipThoughts.build(corpus, built, seed=0, **(BUILD | {"words": words}))
    torch.manual_seed(0)
    return SkipThoughts(toy.tiny_trunk(), corpus, built, **(MODEL | changes))


def spelled(pretext: SkipThoughts, ids: Tensor) -> str:
    return pretext.packed.vocabulary.decode(ids.numpy())


def test_no_triple_crosses_a_document_and_each_is_three_in_a_row(tmp_path: Path) -> None:
    corpus = toy.of([[f"d{d} s{s} ." for s in range(n)] for d, n in enumerate([5, 2, 3, 1, 4])])
    pretext = made(corpus, tmp_path)
    batch = pretext.batch(np.arange(pretext.samples()), np.random.default_rng(0))
    found = set()
    for before, sentence, after in zip(batch["before"], batch["sentence"], batch["after"], strict=True):
        words = [spelled(pretext, each).split()[:2] for each in (before, sentence, after)]
        (d, s), rest = words[1], words[::2]
        assert rest == [[d, f"s{int(s[1:]) - 1}"], [d, f"s{int(s[1:]) + 1}"]]
        found.add((d, s))
    assert found == {(f"d{d}", f"s{s}") for d, n in enumerate([5, 2, 3, 1, 4]) for s in range(1, n - 1)}


def test_sentences_are_cut_at_so_many_words_and_end(tmp_path: Path) -> None:
    pretext = made(toy.of([["a b c d e", "f g", "h i j k"]]), tmp_path, words=3)
    batch = pretext.batch(np.arange(1), np.random.default_rng(0))
    own = pretext.packed.vocabulary
    assert [spelled(pretext, batch[name][0]) for name in ("before", "sentence", "after")] == [
        "a b c",
        "f g",
        "h i j",
    ]
    assert batch["before"][0, 3] == own.end and batch["sentence"][0].tolist()[2:] == [own.end]


def test_a_decoder_is_fed_what_it_has_told_with_a_share_unknown(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    own, index = pretext.packed.vocabulary, np.arange(100)
    batch = pretext.batch(index, np.random.default_rng(0))
    for side in ("before", "after"):
        fed, told = batch[f"{side}_fed"], batch[side]
        assert (fed[:, 0] == own.start).all()
        real = told[:, :-1] >= own.specials
        gone = (fed[:, 1:] == own.unknown) & real
        assert torch.equal(fed[:, 1:][real & ~gone], told[:, :-1][real & ~gone])
        assert float(gone.sum() / real.sum()) == pytest.approx(0.2, abs=0.04)


def test_the_loss_equals_a_loop_over_the_words_of_both_decoders(toy_texts: Texts, tmp_path: Path) -> None:
    """Word by word, one decoder at a time: the mean is over all real words, ends included and pads not."""
    pretext = made(toy_texts, tmp_path).double().eval()
    batch = pretext.batch(np.arange(7), np.random.default_rng(0))
    own, lost, count = pretext.packed.vocabulary, 0.0, 0
    with torch.no_grad():
        vectors = pretext.encoder(batch["sentence"])
        for side, decoder in zip(("before", "after"), pretext.decoders, strict=True):
            for n in range(7):
                state = vectors[n].view(1, 1, -1)
                for t in range(int((batch[side][n] != own.pad).sum())):
                    word = pretext.encoder.table(batch[f"{side}_fed"][n, t])
                    out, state = decoder(torch.cat([word, vectors[n]]).view(1, 1, -1), state)
                    lost -= float(pretext.output(out.flatten()).log_softmax(0)[batch[side][n, t]])
                    count += 1
        assert float(pretext(batch)["loss"]) == pytest.approx(lost / count, rel=1e-5)


def test_the_loss_starts_at_guessing_by_frequency_and_without_that_at_the_size_of_the_vocabulary(
    toy_texts: Texts, tmp_path: Path
) -> None:
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(32), np.random.default_rng(0))
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(
        np.log(pretext.chance()["perplexity"]), abs=0.2
    )
    torch.nn.init.zeros_(pretext.output.bias)
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(
        np.log(len(pretext.packed.vocabulary)), abs=0.1
    )


def test_decoders_reach_the_encoder_through_the_vector_alone(
    toy_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    pretext(batch)["loss"].backward()
    reading = [p for name, p in pretext.encoder.named_parameters() if not name.startswith("table")]
    assert all(p.grad is not None and p.grad.any() for p in reading)
    pretext.zero_grad()
    whole = SentenceGRU.forward
    monkeypatch.setattr(SentenceGRU, "forward", lambda self, x: whole(self, x).detach())
    pretext(batch)["loss"].backward()
    assert all(p.grad is None for p in reading)


def test_the_decoders_have_weights_of_their_own_and_one_output(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    one, two = ({id(p) for p in decoder.parameters()} for decoder in pretext.decoders)
    assert not one & two
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    only = pretext.batch(np.arange(8), np.random.default_rng(0))
    only["after"][:] = pretext.packed.vocabulary.pad
    pretext(only)["loss"].backward()
    assert all(p.grad is None or not p.grad.any() for p in pretext.decoders[1].parameters())
    assert pretext.output.weight.grad is not None and torch.isfinite(pretext(batch)["loss"])


def test_on_a_memorised_toy_the_wrong_vector_costs_five_times_as_much(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(40)]
    corpus = toy.of([[" ".join(rng.choice(words, 5)) for _ in range(3)] for _ in range(8)])
    pretext = made(corpus, tmp_path, dim=48, word=24)
    optimizer = torch.optim.Adam(pretext.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        pretext(pretext.batch(np.arange(8), rng))["loss"].backward()
        optimizer.step()
    batch = pretext.batch(np.arange(8), rng)
    right = float(pretext(batch)["loss"].detach())
    swapped = batch | {"sentence": batch["sentence"].roll(1, 0)}
    assert float(pretext(swapped)["loss"].detach()) > 5 * right


@pytest.mark.parametrize("both", [True, False])
def test_the_vector_is_read_at_the_true_end_whatever_the_pads(
    both: bool, toy_texts: Texts, tmp_path: Path
) -> None:
    encoder = made(toy_texts, tmp_path, both=both).encoder.eval()
    x = encoder.tokens(["the ship saw the storm .", "a ship .", ""])
    wider = torch.nn.functional.pad(x, (0, 7), value=encoder.vocabulary.pad)
    alone = torch.cat(
        [encoder(encoder.tokens([text])) for text in ("the ship saw the storm .", "a ship .", "")]
    )
    torch.testing.assert_close(encoder(wider), alone)
    torch.testing.assert_close(encoder(x), alone)
    if both:
        # A text read backwards by hand, as torch's own two-way GRU reads it.
        own = torch.nn.GRU(8, 8, batch_first=True, bidirectional=True)
        assert encoder.backwards is not None
        state = {name: p for name, p in encoder.forwards.named_parameters()}
        state |= {f"{name}_reverse": p for name, p in encoder.backwards.named_parameters()}
        own.load_state_dict(state)
        want = own(encoder.table(x[:1, : int((x[0] != 0).sum())]))[1]
        torch.testing.assert_close(alone[0], want.flatten())


def test_reversing_turns_the_real_places_round_and_leaves_pads() -> None:
    x = torch.arange(12).view(2, 6)
    found = reverse(x, torch.tensor([4, 6]))
    assert found.tolist() == [[3, 2, 1, 0, 4, 5], [11, 10, 9, 8, 7, 6]]
    deep = torch.randn(3, 5, 2)
    assert torch.equal(reverse(reverse(deep, torch.tensor([1, 3, 5])), torch.tensor([1, 3, 5])), deep)


def test_guessing_is_the_unigram_perplexity(tmp_path: Path) -> None:
    pretext = made(toy.of([["a a b", "a b", "b a"]]), tmp_path)
    # a: 4, b: 3, and three ends, of ten.
    want = np.exp(-(0.4 * np.log(0.4) + 2 * 0.3 * np.log(0.3)))
    assert pretext.chance()["perplexity"] == pytest.approx(want)


def test_settings_that_cannot_be_are_named(toy_texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.dim is 15; two directions share it"):
        made(toy_texts, tmp_path, dim=15)
    with pytest.raises(ValueError, match=r"skip_thoughts\.model\.dropped is 1"):
        made(toy_texts, tmp_path, dropped=1)
    with pytest.raises(ValueError, match="no document is long enough"):
        packing_of_pairs = toy.of([["one two", "three"]] * 4)
        made(packing_of_pairs, tmp_path)
    assert not len(packing.triples(packing.read(tmp_path)))
