"""A corpus of documents: rows, sentences and bytes stay together whatever is taken."""

import numpy as np
import pytest

from modalities.text.corpus import Texts, joined
from tests.text import toy


def test_sentences_go_with_their_documents() -> None:
    texts = toy.of([["Eins.", "Zwei."], ["Dréi."], ["Vier.", "Fünf.", "Sechs."]])
    some = texts.take(np.array([2, 0]))
    assert some.strings(range(5)) == ["Vier.", "Fünf.", "Sechs.", "Eins.", "Zwei."]
    assert some.first.tolist() == [0, 3, 5] and some.document_of().tolist() == [0, 0, 0, 1, 1]
    assert some.documents([1, 0]) == ["Eins. Zwei.", "Vier. Fünf. Sechs."]
    assert texts.documents([1], most=3) == ["Dr"]  # "é" is two bytes, and half of it none


def test_only_keeps_the_order_and_says_what_is_missing(toy_texts: Texts) -> None:
    train = toy_texts.only("train")
    assert train.ids == [i for i, s in zip(toy_texts.ids, toy_texts.splits, strict=True) if s == "train"]
    with pytest.raises(ValueError, match="no document in its valid split"):
        toy_texts.only("valid")


def test_joined_sets_keep_their_texts_and_their_own_classes() -> None:
    a = toy.of([["a b"], ["c"]], labels=[0, 1])
    b = toy.of([["d"], ["e", "f"], ["g"]], labels=[1, 0, -1])
    both = joined([a, b])
    assert both.documents(range(5)) == ["a b", "c", "d", "e f", "g"]
    assert both.strings(range(6)) == ["a b", "c", "d", "e", "f", "g"]
    assert both.labels.tolist() == [0, 1, 3, 2, -1] and len(both.classes) == 4
    assert both.first.tolist() == [0, 1, 2, 3, 5, 6]
