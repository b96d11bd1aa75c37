"""Copies: planted ones are found, different documents are kept, and the order of files does not matter."""

from collections.abc import Sequence

import numpy as np
import pytest

from modalities.text.reading import duplicates, hashing
from modalities.text.reading.document import Document, Record, make


def document(text: str, split: str = "train", label: str | None = None, name: str = "f") -> Document:
    return make(Record(name, text, label=label, split=split), {})[0]


def random_text(rng: np.random.Generator, words: int) -> list[str]:
    return [f"w{k}" for k in rng.integers(0, 5000, words)]


def changed(words: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """The text with a share of its words replaced, in one stretch: each single change breaks five shingles."""
    count = round(share * len(words))
    start = int(rng.integers(0, len(words) - count))
    return [*words[:start], *random_text(rng, count), *words[start + count :]]


def test_the_hash_of_a_run_is_that_of_its_words_wherever_it_stands() -> None:
    found, offsets = hashing.words(["The cat, sat!", "", "on THE cat sat"])
    assert offsets.tolist() == [0, 3, 3, 7] and found[:3].tolist() == found[4:].tolist()
    runs, begins = hashing.runs(found, offsets, 3)
    assert begins.tolist() == [0, 1, 1, 3] and runs[0] == runs[2] != runs[1]


def test_jaccard_equals_python_sets() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 30, n).astype(np.uint64) for n in (10, 25, 0, 40)]
    begins = np.cumsum([0, *map(len, texts)])
    values = np.concatenate([np.sort(text) for text in texts])
    pairs = np.array([(i, j) for i in range(4) for j in range(4) if i < j])
    found = hashing.jaccard(values, begins, pairs)
    sets = [set(text.tolist()) for text in texts]
    want = [len(sets[i] & sets[j]) / max(1, len(sets[i] | sets[j])) for i, j in pairs]
    assert found == pytest.approx(want)


def test_planted_copies_are_found_and_others_kept() -> None:
    rng = np.random.default_rng(1)
    base = [random_text(rng, 200) for _ in range(60)]
    docs = [document(" ".join(text), name=f"base {k}") for k, text in enumerate(base)]
    exact = [document("  ".join(text).upper(), name=f"exact {k}") for k, text in enumerate(base[:10])]
    near = [
        document(" ".join(changed(text, 0.05, rng)), name=f"near {k}") for k, text in enumerate(base[10:30])
    ]
    far = [document(" ".join(changed(text, 0.5, rng)), name=f"far {k}") for k, text in enumerate(base[30:40])]
    everything = [*docs, *exact, *near, *far]
    kept, copies = duplicates.exact(everything)
    assert len(copies) == 10 and len(kept) == 90
    kept, similar = duplicates.near(kept, 0.8)
    assert len(similar) == 20 and len(kept) == 70
    assert all(each.similarity >= 0.8 for each in similar)
    shuffled = [everything[k] for k in rng.permutation(len(everything))]
    again, _ = duplicates.near(duplicates.exact(shuffled)[0], 0.8)
    assert {each.id for each in again} == {each.id for each in kept}


def test_a_test_document_beats_a_train_one_and_test_sets_stay_whole() -> None:
    rng = np.random.default_rng(2)
    text = random_text(rng, 100)
    near = " ".join(changed(text, 0.03, rng))
    docs = [document(" ".join(text), "train"), document(near, "test"), document(near + " more", "test")]
    kept, dropped = duplicates.near(docs, 0.8)
    assert [each.split for each in kept] == ["test", "test"] and len(dropped) == 1
    copies = [document("same words here", "train", "a"), document("Same words  here", "test", "a")]
    assert duplicates.exact(copies)[0][0].split == "test"
    unsure = [document("same words here", label="a"), document("Same words here", label="b")]
    assert duplicates.exact(unsure)[0][0].label is None


def test_boilerplate_is_counted_in_training_documents_alone() -> None:
    texts = [f"This is text number {k} of all. Read more here now." for k in range(12)]
    docs = [document(text) for text in texts] + [document("Only here. Read more here now.", "test")]
    kept, gone = duplicates.boilerplate(docs, 10)
    assert gone == 13 and kept[0].text == "This is text number 0 of all." and kept[-1].text == "Only here."
    held = [document(text, "test") for text in texts]
    assert duplicates.boilerplate(held, 10) == (held, 0)
    assert duplicates.boilerplate(docs, 0)[1] == 0


def test_thirteen_shared_words_are_a_leak_and_twelve_are_none() -> None:
    rng = np.random.default_rng(3)
    secret = random_text(rng, 40)
    leak = " ".join([*random_text(rng, 30), *secret[5:18], *random_text(rng, 30)])
    none = " ".join([*random_text(rng, 30), *secret[5:17], *random_text(rng, 30)])
    docs = [document(none), document(leak), document(leak + " x", "test")]
    assert duplicates.leaks(docs, {"b": [" ".join(secret)], "a": ["something else"]}) == {1: "b"}
