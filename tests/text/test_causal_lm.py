"""Causal language model: it sees nothing of what it is asked, and is asked all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import Decoder, Trunk
from modalities.text.pretexts.causal_lm import CausalLM
from modalities.text.shared.guessing import unigram
from stages import loop, store
from tests.conftest import train_keys
from tests.text import toy

SHAKESPEARE = Path(__file__).resolve().parents[2] / "../shared/data/text/tinyshakespeare/input.txt"


@pytest.fixture
def pretext(toy_texts: Texts, tmp_path: Path) -> CausalLM:
    made = toy.make("causal_lm", toy_texts, tmp_path)
    assert isinstance(made, CausalLM)
    return made


def test_a_changed_token_leaves_earlier_logits_bit_equal(pretext: CausalLM) -> None:
    encoder, own = pretext.encoder.eval(), pretext.packed.vocabulary
    x = torch.randint(own.specials, len(own), (5, 20))
    before = encoder.logits(x)
    for place in (0, 7, 19):
        changed = x.clone()
        changed[:, place] = (x[:, place] - own.specials + 1) % (len(own) - own.specials) + own.specials
        after = encoder.logits(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert not torch.equal(after[:, place], before[:, place])


def test_the_loss_at_the_start_is_that_of_guessing(pretext: CausalLM) -> None:
    """By how often each token occurs; without that, among all entries alike, as GPT's."""
    batch = pretext.batch(np.arange(32), np.random.default_rng(0))
    assert abs(pretext(batch)["loss"].item() - np.log(unigram(pretext.packed.stream))) < 0.2
    pretext.encoder.prior.zero_()
    assert abs(pretext(batch)["loss"].item() - np.log(len(pretext.packed.vocabulary))) < 0.1


def test_the_loss_is_that_of_a_loop_over_next_tokens(pretext: CausalLM) -> None:
    token = pretext.batch(np.arange(4), np.random.default_rng(0))["token"]
    total, right, count = 0.0, 0, 0
    with torch.no_grad():
        found = pretext({"token": token})
        logits = pretext.encoder.logits(token[:, :-1])
        for row in range(len(token)):
            for place in range(token.shape[1] - 1):
                scores = logits[row, place].double()
                total -= float(scores.log_softmax(0)[token[row, place + 1]])
                right += int(scores.argmax() == token[row, place + 1])
                count += 1
    assert float(found["loss"]) == pytest.approx(total / count, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(right / count)


def test_blocks_are_runs_of_the_stream_begun_anywhere_in_their_stretch(pretext: CausalLM) -> None:
    stream, rng = np.asarray(pretext.packed.stream, np.int64), np.random.default_rng(0)
    own, begun = pretext.packed.vocabulary, set()
    for _ in range(30):
        for k, row in enumerate(pretext.batch(np.arange(3), rng)["token"].numpy()):
            places = [s for s in range(k * 24, k * 24 + 24) if np.array_equal(stream[s : s + 25], row)]
            assert places
            begun.add(places[0] - k * 24)
    assert len(begun) > 15 and own.pad not in stream
    last = pretext.batch(np.array([pretext.samples() - 1] * 50), rng)["token"].numpy()
    assert (last != own.pad).all() and last.shape == (50, 25)


def test_tokens_spell_the_documents_with_an_end_after_each(pretext: CausalLM, toy_texts: Texts) -> None:
    own, stream = pretext.packed.vocabulary, np.asarray(pretext.packed.stream, np.int64)
    ends = np.flatnonzero(stream == own.end)
    assert len(ends) == len(toy_texts)
    parts = np.split(stream, ends + 1)[:-1]
    assert [own.decode(part) for part in parts] == toy_texts.documents(range(len(toy_texts)))


def test_a_corpus_shorter_than_the_context_makes_one_short_block(tmp_path: Path) -> None:
    made = toy.make("causal_lm", toy.of([["Too short."]]), tmp_path)
    assert made.samples() == 1
    token = made.batch(np.zeros(3, np.int64), np.random.default_rng(0))["token"]
    assert (token == token[0]).all() and torch.isfinite(made({"token": token})["loss"])


def test_output_and_input_are_one_table_and_can_be_saved(pretext: CausalLM, tmp_path: Path) -> None:
    encoder = pretext.encoder.eval()
    x = encoder.tokens(["The ship saw the storm ."])
    assert len([p for p in encoder.parameters() if p.shape == encoder.embedding().shape]) == 1
    store.save_encoder(encoder, tmp_path / "saved", modality="text", method="causal_lm", seed=0)
    again = store.load_encoder(tmp_path / "saved")
    assert isinstance(again, Decoder)
    assert torch.equal(again.logits(x), encoder.logits(x)) and torch.equal(again(x), encoder(x))


def test_residual_layers_start_smaller_by_the_root_of_their_number() -> None:
    size = {"vocabulary": 64, "layers": 8, "width": 128, "heads": 4, "positions": 16, "dropout": 0.0}
    blocks: Any = Decoder(size=size, pool="mean").net.h
    inner = torch.cat([block.mlp.c_fc.weight.flatten() for block in blocks]).std()
    last = torch.cat([block.mlp.c_proj.weight.flatten() for block in blocks]).std()
    assert float(last / inner) == pytest.approx((2 * 8) ** -0.5, rel=0.02)


def test_right_padding_and_caching_change_nothing(pretext: CausalLM) -> None:
    encoder, own = pretext.encoder.eval(), pretext.packed.vocabulary
    x = encoder.tokens(["The farmer was in the field ."])
    wider = torch.nn.functional.pad(x, (0, 5), value=own.pad)
    torch.testing.assert_close(encoder.logits(wider)[:, : x.shape[1]], encoder.logits(x))
    torch.testing.assert_close(encoder(wider), encoder(x))
    with torch.no_grad():
        cache: Any = None
        for place in range(x.shape[1]):
            scores, cache = encoder.step(x[:, place : place + 1], cache)
            torch.testing.assert_close(scores, encoder.logits(x[:, : place + 1])[:, -1], atol=1e-5, rtol=1e-4)


def test_one_block_can_be_learnt_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pretext = toy.make("causal_lm", toy.documents(8), tmp_path)
    batch = pretext.batch(np.array([0]), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 3e-3)
    with threads(1):
        for _ in range(120):
            optimizer.zero_grad()
            loss = pretext(batch)["loss"]
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.05


def test_settings_that_do_not_fit_are_refused(toy_texts: Texts, tiny_trunk: Trunk, tmp_path: Path) -> None:
    CausalLM.build(toy_texts, tmp_path, seed=0, kind="bpe", size=400, length=65)
    with pytest.raises(
        ValueError, match=r"causal_lm\.build makes rows of 65 tokens, text\.encoder\.positions is 64"
    ):
        CausalLM(tiny_trunk, toy_texts, tmp_path, pool="mean")
    CausalLM.build(toy_texts, tmp_path, seed=0, kind="bpe", size=400, length=32)
    with pytest.raises(ValueError, match="first token has seen nothing; use mean or last"):
        CausalLM(tiny_trunk, toy_texts, tmp_path, pool="first")
    assert CausalLM(tiny_trunk, toy_texts, tmp_path, pool="last").encoder.size.positions == 32


def test_plain_transformers_gives_the_same_vectors(pretext: CausalLM, tmp_path: Path) -> None:
    from transformers import AutoModel

    encoder = pretext.encoder.eval()
    encoder.export(tmp_path / "exported")
    x = encoder.tokens(["The judge was in the court .", "Then every wave left the ship ."])
    with torch.no_grad():
        states = AutoModel.from_pretrained(tmp_path / "exported").eval()(input_ids=x).last_hidden_state
        torch.testing.assert_close(encoder.pooled(states, x), encoder(x), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="tinyshakespeare is not here")
def test_the_loss_on_shakespeare_is_that_of_nanogpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nanoGPT's small run: 4 layers, 4 heads, 128 wide, context 64, batch 12, 2,000 steps: 1.88 nats a character."""
    monkeypatch.chdir(tmp_path)
    text = SHAKESPEARE.read_text()
    cut = int(0.9 * len(text))
    train, valid = toy.of([[text[:cut]]]), toy.of([[text[cut:]]])
    CausalLM.build(train, tmp_path, seed=0, kind="characters", size=128, length=64)
    torch.manual_seed(1)
    trunk = toy.tiny_trunk(vocabulary=128, layers=4, heads=4, width=128, positions=64)
    pretext = CausalLM(trunk, train, tmp_path, pool="mean")
    keys = train_keys(
        "text", samples=24_000, batch=12, lr=1e-3, weight_decay=0.1, betas=[0.9, 0.99], warmup=0.05, health=1
    )
    loop.fit(pretext, seed=1, scratch=tmp_path / "scratch", label="nanogpt", **keys)
    ids = torch.from_numpy(pretext.packed.vocabulary.encode([valid.documents([0])[0]])[0])
    rows = ids[: len(ids) // 65 * 65].view(-1, 65)
    pretext.eval()
    with torch.no_grad():
        losses = [float(pretext({"token": part})["loss"]) for part in torch.split(rows, 200)[:-1]]
    assert np.mean(losses) < 2.0
    assert packing.read(tmp_path).vocabulary.decode(ids[:200].tolist()) == text[cut : cut + 200]
