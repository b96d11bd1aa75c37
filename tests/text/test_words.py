"""Word similarity and analogy: a planted table is read rightly, and a loop agrees."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder, Trunk
from modalities.text.transfers import words
from tests.text import toy


class Table(TextEncoder):
    """A table of words, in the order of how often they occur."""

    def __init__(self, found: dict[str, torch.Tensor]) -> None:
        torch.nn.Module.__init__(self)
        self.found = found

    def words(self) -> dict[str, torch.Tensor]:
        return self.found


def planted(noise: float = 0.0) -> Table:
    """Countries and capitals, a constant step apart."""
    rng = torch.Generator().manual_seed(0)
    step = torch.randn(16, generator=rng)
    found = {}
    for k in range(12):
        place = torch.randn(16, generator=rng)
        found[f"country{k}"] = place + noise * torch.randn(16, generator=rng)
        found[f"capital{k}"] = place + step + noise * torch.randn(16, generator=rng)
    return Table(found)


def questions() -> dict[str, list[Any]]:
    pairs = [(a, b) for a in range(12) for b in range(12) if a != b]
    return {
        "group": ["capitals"] * len(pairs),
        "a": [f"Country{a}" for a, _ in pairs],
        "b": [f"Capital{a}" for a, _ in pairs],
        "c": [f"country{b}" for _, b in pairs],
        "d": [f"CAPITAL{b}" for _, b in pairs],
    }


def judged(monkeypatch: pytest.MonkeyPatch, **tables: dict[str, dict[str, list[Any]]]) -> Texts:
    monkeypatch.setattr(Texts, "tables", lambda self, kind: tables.get(kind, {}))
    return toy.of([["x"]])


def run(table: TextEncoder, corpus: Texts, out: Path, common: int = 100) -> dict[str, float]:
    return words.run(table, corpus, None, out, seed=0, common=common)


def test_planted_parallelograms_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit vectors bend them a little, so not quite every one."""
    found = run(planted(), judged(monkeypatch, analogies={"q": questions()}), tmp_path)
    assert found["q/coverage"] == 1 and found["q/accuracy"] > 0.8
    assert found["q/accuracy.chance"] < 0.2
    lines = json.loads((tmp_path / "analogies.json").read_text())
    assert lines[0][0][0].startswith("capitals: ") and lines[1][1][1] in ("right", "wrong")


def test_answers_equal_a_loop_and_the_three_given_are_excluded() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.nn.functional.normalize(
        torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), dim=1
    )
    asked = np.array([rng.permutation(40)[:4] for _ in range(700)])
    found = words.answer(vectors, asked)
    for (a, b, c, _), answer in zip(asked, found, strict=True):
        score = {
            k: float((vectors[b] - vectors[a] + vectors[c]) @ vectors[k])
            for k in range(40)
            if k not in (a, b, c)
        }
        assert answer == max(score, key=lambda k: score[k])


def test_similarity_is_the_rank_correlation_of_covered_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = planted(0.5)
    names = list(table.words())
    rng = np.random.default_rng(0)
    pairs = [rng.permutation(names)[:2].tolist() for _ in range(60)]
    scores = rng.integers(0, 8, 60).astype(float)  # with ties
    columns = {
        "a": [a.upper() for a, _ in pairs] + ["nowhere"] * 20,
        "b": [b for _, b in pairs] + [names[0]] * 20,
        "score": [*scores.tolist(), *[1.0] * 20],
    }
    found = run(table, judged(monkeypatch, words={"w": columns}), tmp_path)
    own = table.words()
    cosines = [float(torch.cosine_similarity(own[a], own[b], 0)) for a, b in pairs]
    assert found["w/spearman"] == pytest.approx(spearmanr(cosines, scores).statistic, abs=1e-6)
    assert found["w/coverage"] == pytest.approx(0.75)
    assert "w/spearman.chance" in found


def test_questions_are_asked_among_the_commonest_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(planted(), judged(monkeypatch, analogies={"q": questions()}), tmp_path, common=8)
    assert found["q/coverage"] == pytest.approx(12 / 132)  # four countries with their capitals


def test_gensim_answers_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gensim = pytest.importorskip(
        "gensim.models", reason="gensim, of the optional group peers, is not installed"
    )
    table = planted(1.0)
    own = table.words()
    vectors = gensim.KeyedVectors(16)
    vectors.add_vectors(list(own), torch.stack(list(own.values())).numpy())
    asked = questions()
    file = tmp_path / "questions.txt"
    rows = zip(*(asked[part] for part in "abcd"), strict=True)
    file.write_text(": capitals\n" + "\n".join(" ".join(row) for row in rows) + "\n")
    theirs = vectors.evaluate_word_analogies(str(file), restrict_vocab=100)[0]
    found = run(table, judged(monkeypatch, analogies={"q": asked}), tmp_path)
    assert 0.1 < found["q/accuracy"] < 0.9
    assert found["q/accuracy"] == pytest.approx(theirs, abs=0.01)


def test_encoders_that_are_no_table_have_no_such_task(tiny_trunk: Trunk, tmp_path: Path) -> None:
    assert run(tiny_trunk, toy.of([["x"]]), tmp_path) == {}
