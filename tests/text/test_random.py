"""Random: it has a vocabulary and is never trained."""

from pathlib import Path

import numpy as np
import pytest

from modalities.text.corpus import Texts
from modalities.text.pretexts.random import Random
from tests.text import toy


def test_it_knows_the_words_of_the_corpus_and_refuses_to_train(toy_texts: Texts, tmp_path: Path) -> None:
    made = toy.make("random", toy_texts, tmp_path)
    assert isinstance(made, Random)
    x = made.encoder.read(toy_texts, np.arange(3))
    assert (x == made.encoder.vocabulary.unknown).sum() == 0
    with pytest.raises(ValueError, match=r"text\.pretexts\.random\.train\.samples to 0"):
        made({"text": x})
