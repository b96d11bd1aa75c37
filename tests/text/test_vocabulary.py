"""Vocabularies: the same bytes in every process, text given back, special tokens never read out of text."""

import hashlib
import json
import subprocess
import sys
import unicodedata
from typing import get_args

import numpy as np
import pytest

from modalities.text.corpus import Texts
from modalities.text.vocabulary import FEW, SPARE, SPECIALS, Kind, Vocabulary, train
from tests.conftest import ROOT

KINDS = get_args(Kind)
SIZES = {"words": 200, "wordpiece": 300, "bpe": 400, "unigram": 150, "characters": 100}
NASTY = "A [MASK] and [UNK] [PAD][CLS] <s> </s> <pad> <mask> <mask_1> <cls> ##ing <unused3> ▁x Ġy."


def made(kind: Kind, texts: Texts) -> Vocabulary:
    return train(texts.strings(range(len(texts.sentences))), kind=kind, size=SIZES[kind], min_count=1)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_make_the_same_bytes(kind: Kind, toy_texts: Texts) -> None:
    code = f"""
import hashlib
from modalities.text.vocabulary import train
from tests.text import toy
texts = toy.documents(48)
texts = texts.strings(range(len(texts.sentences)))
print(hashlib.sha256(train(texts, kind="{kind}", size={SIZES[kind]}, min_count=1).json.encode()).hexdigest())
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(made(kind, toy_texts).json.encode()).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back(kind: Kind, toy_texts: Texts) -> None:
    own = made(kind, toy_texts)
    text = toy_texts.strings([0])[0]
    ids, offsets = own.encode([text, "", text])
    assert offsets.tolist() == [0, len(ids) // 2, len(ids) // 2, len(ids)]
    again = own.decode(ids[: offsets[1]])
    want = {"words": text.lower(), "wordpiece": text.lower()}.get(kind, text)
    assert again.replace(" ", "") == want.replace(" ", "")
    if kind in ("bpe", "characters", "unigram"):
        assert again == unicodedata.normalize("NFKC", text)


def test_bpe_gives_any_text_back_exactly(toy_texts: Texts) -> None:
    own = made("bpe", toy_texts)
    for text in (NASTY, "Ünï\u200bcode 👩‍👩‍👧  two  spaces\nline", "  lead"):
        ids, _ = own.encode([text])
        assert own.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_special_token_in_the_text_is_text(kind: Kind, toy_texts: Texts) -> None:
    texts = [*toy_texts.strings(range(len(toy_texts.sentences))), *[NASTY] * 50]
    own = train(texts, kind=kind, size=SIZES[kind] + 60, min_count=1)
    ids, _ = own.encode([NASTY])
    special = {own.entries[k] for k in ids if k < own.specials}
    assert special <= {"[UNK]", "<unk>"}
    assert len(ids) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first_in_the_given_order(kind: Kind, toy_texts: Texts) -> None:
    own = made(kind, toy_texts)
    names = list(SPECIALS[kind])
    assert own.entries[: len(names)] == names and own.specials == len(names) + SPARE
    assert len(own) <= SIZES[kind]
    assert [token["id"] for token in json.loads(own.json)["added_tokens"]] == list(range(own.specials))
    for token, roles in SPECIALS[kind].items():
        assert all(getattr(own, role) == own.entries.index(token) for role in roles)
    if kind in ("words", "characters"):
        with pytest.raises(ValueError, match="has no token for mask"):
            _ = own.mask


def test_rare_words_are_unknown() -> None:
    own = train(["a a a b b c"] * 2, kind="words", size=100, min_count=4)
    assert own.entries[own.specials :] == ["a", "b"]
    ids, _ = own.encode(["A c b"])
    assert [own.entries[k] for k in ids] == ["a", "[UNK]", "b"]


def test_wordpiece_knows_every_character_in_both_forms(toy_texts: Texts) -> None:
    own = made("wordpiece", toy_texts)
    letters = {c for s in toy_texts.strings(range(len(toy_texts.sentences))) for c in s.lower() if c != " "}
    assert letters | {f"##{c}" for c in letters} <= set(own.entries)
    ids, _ = own.encode(["zzz wheatship"])  # no z anywhere in the corpus
    assert own.entries[ids[0]] == "[UNK]" and own.unknown not in ids[1:]


def test_begins_tells_words_apart(toy_texts: Texts) -> None:
    for kind in ("wordpiece", "bpe", "unigram"):
        own = made(kind, toy_texts)
        text = "The sailors saw storms"
        ids, _ = own.encode([text])
        starts = own.begins[ids]
        starts[0] = True
        words = np.split(ids, np.flatnonzero(starts)[1:])
        assert [own.decode(word).strip().lower() for word in words] == text.lower().split()


def test_a_small_corpus_gives_fewer_entries_and_a_small_size_an_error(toy_texts: Texts) -> None:
    for kind in KINDS:
        assert len(train(["one tiny text . one"], kind=kind, size=5000, min_count=1)) < 400
        with pytest.raises(ValueError, match=r"build\.size is 20"):
            train(["x"], kind=kind, size=20, min_count=1)
    with pytest.raises(ValueError, match=r"build\.kind is piece; use words"):
        train(["x"], kind="piece", size=100, min_count=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_word_by_word_is_the_same_as_whole_texts(kind: Kind, toy_texts: Texts) -> None:
    own = made(kind, toy_texts)
    texts = toy_texts.strings(range(len(toy_texts.sentences)))
    texts += [
        NASTY,
        "",
        " lead",
        "trail ",
        "two  spaces",
        "line\n\nfeeds\n",
        "  ",
        "naïve ´x´ １２ ﬁn don't it's",
        "a\tb",
    ]
    texts = [*texts, *texts, *texts]
    assert len(texts) > FEW
    # With doubled spaces among them, and without: the second are cut another way.
    plain = [text for text in texts if "  " not in text]
    assert len(texts) > len(plain) > FEW
    for some in (texts, plain):
        fast, slow = own.encode(some), own._encode(some)
        assert np.array_equal(fast[1], slow[1]) and np.array_equal(fast[0], slow[0])
