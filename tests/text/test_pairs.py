"""Pairs of segments: what follows does, what does not comes from elsewhere, and lengths tell neither."""

from pathlib import Path

import numpy as np
import pytest

from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.packing import Packed
from modalities.text.shared.pairs import LABELS, Negative, Pairs, fitted, spans
from tests.text import toy


def varied(count: int, seed: int = 0) -> Texts:
    """Documents whose sentences differ in length, each opened by its own number."""
    rng = np.random.default_rng(seed)
    made, number = [], 0
    for _ in range(count):
        document = []
        for _ in range(rng.integers(2, 14)):
            words = " ".join(rng.choice(toy.TOPICS[rng.integers(4)], rng.integers(1, 16)))
            document.append(f"n{number} {words} .")
            number += 1
        made.append(document)
    return toy.of(made)


def packed(corpus: Texts, folder: Path, length: int) -> Packed:
    found = packing.write(corpus, folder, kind="words", size=20_000, min_count=1)
    packing.keep(folder, spans(found, length, 0.1, np.random.default_rng(0)))
    return packing.read(folder)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed(varied(1200), tmp_path_factory.mktemp("pairs"), 48)


def numbers(many: Packed, tokens: list[int]) -> list[int]:
    """The sentence numbers among token ids, in their order."""
    spelled = [many.vocabulary.entries[token] for token in tokens]
    return [int(word[1:]) for word in spelled if word[0] == "n" and word[1:].isdigit()]


def test_rows_are_runs_of_two_sentences_or_more_of_one_document(many: Packed) -> None:
    first, split, last = many.examples.T.astype(int)
    assert ((first < split) & (split < last)).all()
    assert (many.document_of[first] == many.document_of[last - 1]).all()
    room = many.offsets[last] - many.offsets[first]
    assert (room <= 45).all() and (first[1:] >= last[:-1]).all()
    assert (room < 23).mean() > 0.02  # a tenth is shorter at random


@pytest.mark.parametrize("negative", LABELS)
def test_labels_are_even_and_lengths_do_not_tell_them(many: Packed, negative: Negative) -> None:
    from sklearn.linear_model import LogisticRegression

    pairs, rng = Pairs(many, negative), np.random.default_rng(0)
    drawn = [pairs.draw(np.arange(len(pairs)), rng) for _ in range(4)]
    label = np.concatenate([each.label for each in drawn])
    shares = np.bincount(label) / len(label)
    assert len(label) > 8000 and np.abs(shares - 1 / len(shares)).max() < 0.02
    lengths = np.concatenate([np.stack([np.diff(e.a)[:, 0], np.diff(e.b)[:, 0]], 1) for e in drawn])
    half = len(label) // 2
    told = (
        LogisticRegression().fit(lengths[:half] / 20, label[:half]).score(lengths[half:] / 20, label[half:])
    )
    assert told < 1 / len(shares) + 0.03


@pytest.mark.parametrize("negative", LABELS)
def test_segments_are_what_their_labels_say(many: Packed, negative: Negative) -> None:
    pairs = Pairs(many, negative)
    index = np.arange(len(pairs))
    drawn = pairs.draw(index, np.random.default_rng(1))
    names = np.array(LABELS[negative])[drawn.label]
    of = np.searchsorted(many.offsets, [drawn.a[:, 0], drawn.b[:, 0]], "right") - 1
    document = many.document_of[of]
    follows = names == "next"
    assert (drawn.a[follows, 1] == drawn.b[follows, 0]).all()
    assert (document[0] == document[1])[follows].all()
    back = names == "previous"
    assert (drawn.b[back, 1] == drawn.a[back, 0]).all()
    # Exact mirrors: the same two spans as the row's true pair, exchanged.
    assert (drawn.a[back] == pairs.b[index[back]]).all() and (drawn.b[back] == pairs.a[index[back]]).all()
    other = names == "random"
    assert (document[0] != document[1])[other].all()
    assert (np.diff(drawn.a)[:, 0] + np.diff(drawn.b)[:, 0] <= pairs.room).all()
    if negative != "swap":
        partners = {tuple(row) for row in drawn.b[other]}
        assert len(partners) > 0.3 * other.sum()  # not the same few again and again


def test_an_oracle_that_reads_sentence_numbers_is_always_right(many: Packed) -> None:
    pairs = Pairs(many, "swap")
    drawn = pairs.draw(np.arange(300), np.random.default_rng(2))
    separator = many.vocabulary.separator
    for row, label in zip(pairs.tokens(drawn).tolist(), drawn.label, strict=True):
        cut = row.index(separator)
        a, b = numbers(many, row[:cut]), numbers(many, row[cut:])
        assert (b[0] < a[0]) == (label == 1)


def test_tokens_are_framed_with_both_segments_inside(many: Packed) -> None:
    pairs, own = Pairs(many, "three"), many.vocabulary
    drawn = pairs.draw(np.arange(50), np.random.default_rng(3))
    for k, row in enumerate(pairs.tokens(drawn).tolist()):
        a = many.tokens[slice(*drawn.a[k])].tolist()
        b = many.tokens[slice(*drawn.b[k])].tolist()
        want = [own.start, *a, own.separator, *b, own.separator]
        assert row == want + [own.pad] * (len(row) - len(want))


def test_a_sentence_that_occurs_in_two_documents_is_no_negative_of_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    documents = [[f"word{rng.integers(99)} begins .", "the same end ."] for _ in range(60)]
    documents += [[f"word{rng.integers(99)} begins .", f"word{rng.integers(99)} ends ."] for _ in range(60)]
    found = packed(toy.of(documents), tmp_path, 16)
    pairs = Pairs(found, "random")
    for seed in range(5):
        drawn = pairs.draw(np.arange(len(pairs)), np.random.default_rng(seed))
        for k in np.flatnonzero(drawn.label == 1):
            true, given = found.tokens[slice(*pairs.b[k])], found.tokens[slice(*drawn.b[k])]
            assert true.tolist() != given.tolist()


def test_what_is_too_long_loses_tokens_of_the_longer_one_at_either_end() -> None:
    rng = np.random.default_rng(0)
    a, b = np.tile([100, 140], (4000, 1)), np.tile([0, 20], (4000, 1))
    cut_a, cut_b = fitted(a, b, 50, rng)
    assert (np.diff(cut_a) == 30).all() and (cut_b == b).all()
    assert (cut_a[:, 0] >= 100).all() and (cut_a[:, 1] <= 140).all()
    front = cut_a[:, 0] - 100
    assert abs(front.mean() - 5) < 3 * np.sqrt(10 / 4 / 4000) and front.min() <= 1 and front.max() >= 9
    level_a, level_b = fitted(a, b, 30, rng)  # first as long as each other, then both
    assert (np.diff(level_a) == 15).all() and (np.diff(level_b) == 15).all()
    same_a, same_b = fitted(a, b, 60, rng)
    assert (same_a == a).all() and (same_b == b).all()


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    one = packed(toy.of([["A ship .", "A storm .", "A wave ."]]), tmp_path, 16)
    with pytest.raises(ValueError, match="one document has all pairs; use swap"):
        Pairs(one, "random")
    assert len(Pairs(one, "swap")) == 1
    with pytest.raises(ValueError, match=r"model\.negative is other; use random, swap, three"):
        Pairs(one, "other")  # type: ignore[arg-type]
