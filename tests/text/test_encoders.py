"""Encoders of text: ids in, vectors out, the vocabulary inside."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import Size, Trunk
from modalities.text.vocabulary import Vocabulary, train
from stages import store
from tests.text import toy


@pytest.fixture
def vocabulary(toy_texts: Texts) -> Vocabulary:
    return train(toy_texts.strings(range(len(toy_texts.sentences))), kind="wordpiece", size=300, min_count=1)


@pytest.fixture
def trunk(tiny_trunk: Trunk, vocabulary: Vocabulary) -> Trunk:
    return tiny_trunk.learn(vocabulary, "masked_words").eval()


def test_the_vocabulary_travels_with_the_encoder(trunk: Trunk, toy_texts: Texts, tmp_path: Path) -> None:
    store.save_encoder(trunk, tmp_path, modality="text", method="toy", seed=0)
    again = store.load_encoder(tmp_path)
    index = np.array([3, 0, 17])
    assert isinstance(again, Trunk) and again.vocabulary.json == trunk.vocabulary.json
    assert torch.equal(again.read(toy_texts, index), trunk.read(toy_texts, index))
    assert torch.equal(again(again.read(toy_texts, index)), trunk(trunk.read(toy_texts, index)))


def test_an_encoder_can_be_copied(trunk: Trunk) -> None:
    again = copy.deepcopy(trunk)
    x = trunk.tokens(["The ship saw the storm ."])
    assert torch.equal(again(again.tokens(["The ship saw the storm ."])), trunk(x))


def test_tokens_frame_cut_and_pad(trunk: Trunk) -> None:
    own = trunk.vocabulary
    x = trunk.tokens(["the ship", "", "ship " * 200])
    assert x.dtype == torch.int64 and x.shape == (3, 64)
    assert (x[:, 0] == own.start).all()
    assert x[0, :4].tolist() == [own.start, *own.encode(["the ship"])[0].tolist(), own.separator]
    assert x[1, :3].tolist() == [own.start, own.separator, own.pad]
    assert x[2, -1] == own.separator and (x[2] != own.pad).all()
    assert trunk.tokens([]).shape[0] == 0 and trunk(trunk.tokens([""])).isfinite().all()


def test_pads_change_nothing(trunk: Trunk) -> None:
    x = trunk.tokens(["The judge was in the court .", "A baker ."])
    wider = torch.nn.functional.pad(x, (0, 9), value=trunk.vocabulary.pad)
    torch.testing.assert_close(trunk(wider), trunk(x))


def test_many_texts_at_once_are_as_each_alone(trunk: Trunk, toy_texts: Texts) -> None:
    texts = [" ".join(["ship storm"] * (k % 13)) for k in range(75)]
    alone = torch.cat([trunk(trunk.tokens([text])) for text in texts])
    torch.testing.assert_close(trunk(trunk.tokens(texts)), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "first", "last"])
def test_pooling_equals_a_loop(pool: str, vocabulary: Vocabulary) -> None:
    trunk = toy.tiny_trunk(pool=pool).learn(vocabulary, "x").eval()
    x = trunk.tokens(["The farmer saw the field .", "A wheat", ""])
    states = torch.randn(*x.shape, 32)
    for k, row in enumerate(x):
        real = [j for j, token in enumerate(row.tolist()) if token != vocabulary.pad]
        words = [j for j in real if row[j] >= vocabulary.specials] or real
        want = {"mean": states[k, words].mean(0), "first": states[k, 0], "last": states[k, real[-1]]}[pool]
        torch.testing.assert_close(trunk.pooled(states, x)[k], want)


def test_token_types_are_one_after_the_first_separator(trunk: Trunk) -> None:
    own = trunk.vocabulary
    a, b = (
        packing.rows(own.encode([t])[0], np.array([0]), np.array([2]), 3, own.pad)
        for t in ("the ship", "a cake")
    )
    pair = torch.from_numpy(packing.frame([a, b], own))
    assert pair.shape == (1, 7)
    assert trunk.types(pair).tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_a_vocabulary_too_large_names_both_keys(tiny_trunk: Trunk, vocabulary: Vocabulary) -> None:
    small = toy.tiny_trunk(vocabulary=100)
    match = r"text\.pretexts\.cbow\.build\.size gives \d+ entries, text\.encoder\.vocabulary is 100"
    with pytest.raises(ValueError, match=match):
        small.learn(vocabulary, "cbow")
    with pytest.raises(ValueError, match="no vocabulary yet"):
        tiny_trunk.tokens(["x"])


def test_rows_are_rounded_up(tiny_trunk: Trunk) -> None:
    assert Size(100, 1, 8, 2, 16, 0.0).rows == 128
    assert toy.tiny_trunk(vocabulary=500).embedding().shape == (512, 32)


@pytest.mark.parametrize(("form", "kind"), [("bert", "wordpiece"), ("roberta", "bpe"), ("albert", "unigram")])
def test_plain_transformers_gives_the_same_vectors(
    form: str, kind: str, toy_texts: Texts, tmp_path: Path
) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = toy_texts.strings(range(40))
    size = {key: value for key, value in toy.SIZE.items() if key != "pool"}
    factor = 16 if form == "albert" else 0
    trunk = Trunk(size=size, pool="mean", form=form, factor=factor, share=form == "albert")  # type: ignore[arg-type]
    trunk.learn(train(texts, kind=kind, size=400, min_count=1), "x").eval()  # type: ignore[arg-type]
    trunk.export(tmp_path)
    model, tokenizer = AutoModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    some = [*texts[:5], "Then the [MASK] </s> left ."]
    batch = tokenizer(some, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], trunk.tokens(some))
    with torch.no_grad():
        states = model.eval()(
            **{k: v for k, v in batch.items() if k in ("input_ids", "attention_mask")}
        ).last_hidden_state
    torch.testing.assert_close(
        trunk.pooled(states, batch["input_ids"]), trunk(trunk.tokens(some)), atol=1e-5, rtol=0
    )


def test_what_is_saved_says_whether_another_library_knows_it(trunk: Trunk, tmp_path: Path) -> None:
    store.save_encoder(trunk, tmp_path / "a", modality="text", method="toy", seed=0)
    assert store.read_json(tmp_path / "a" / "encoder.json")["known"] is True
