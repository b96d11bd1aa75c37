"""ROUGE against the package that papers use, and the scores of gaps by the package and by hand."""

from fractions import Fraction

import numpy as np
import pytest

from modalities.text.shared import rouge

LECTURE = ["Pegasus is mythical.", "It is pure white.", "It names the model.", "It is a cool name."]
PLAIN = "the a cat dog sat on mat ran it's 3.50 well-known cafés Running and , . runs"
WORDS = PLAIN.split()


def text(rng: np.random.Generator, most: int = 5) -> str:
    lines = [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(rng.integers(1, most))]
    return "\n".join(lines)


@pytest.mark.parametrize("stem", [False, True])
def test_scores_are_those_of_the_package(stem: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=stem)
    rng = np.random.default_rng(0)
    for _ in range(150):
        target, prediction = text(rng), text(rng)
        found = rouge.score(target, prediction, stem=stem)
        for name, value in theirs.score(target, prediction).items():
            assert found[name] == pytest.approx(value.fmeasure, abs=1e-9), (name, target, prediction)


def test_an_empty_prediction_scores_nothing() -> None:
    assert set(rouge.score("a cat sat", "", stem=False).values()) == {0.0}
    assert set(rouge.score("", "a cat", stem=False).values()) == {0.0}


def test_gap_scores_of_the_lecture_s_sentences_are_exact() -> None:
    units = [rouge.words(sentence, stem=False) for sentence in LECTURE]
    scores = [Fraction(score).limit_denominator(1000) for score in rouge.gap_scores(units, unique=False)]
    assert scores == [Fraction(1, 8), Fraction(1, 4), Fraction(1, 8), Fraction(1, 4)]


def test_gap_scores_are_rouge_of_a_sentence_and_the_joined_rest() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rouge1"])
    rng = np.random.default_rng(1)
    for _ in range(60):
        sentences = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(rng.integers(2, 8))]
        units = [rouge.words(sentence, stem=False) for sentence in sentences]
        for k, found in enumerate(rouge.gap_scores(units, unique=False)):
            rest = " ".join(sentences[:k] + sentences[k + 1 :])
            assert found == pytest.approx(theirs.score(rest, sentences[k])["rouge1"].fmeasure, abs=1e-6)
        for k, found in enumerate(rouge.gap_scores(units, unique=True)):
            own, rest_words = set(units[k]), set().union(*units[:k], *units[k + 1 :])
            want = 2 * len(own & rest_words) / (len(own) + len(rest_words)) if own & rest_words else 0.0
            assert found == pytest.approx(want, abs=1e-9)


def test_the_oracle_adds_sentences_while_they_help() -> None:
    sentences = ["The dog ran home.", "A cat sat on the mat.", "It was night.", "The mat was red."]
    assert rouge.oracle(sentences, "A cat sat on the mat. The mat was red.", 3, stem=False).tolist() == [1, 3]
    assert rouge.oracle(sentences, "A cat sat on the mat. The mat was red.", 1, stem=False).tolist() == [1]
    assert rouge.oracle(sentences, "Nothing alike.", 2, stem=False).tolist() == []


def test_other_scripts_are_refused() -> None:
    rouge.latin(["plain English with a café"])
    with pytest.raises(ValueError, match=r"68% of this corpus's letters are no ASCII"):
        rouge.latin(["Это русский текст", "and some"])
