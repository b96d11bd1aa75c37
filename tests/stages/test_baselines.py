"""The baselines stage: what a modality scores without an encoder, and nothing where it is not wanted."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modalities.image.baselines.pixels import shrunk
from modalities.image.corpus import Images
from stages import baselines, cli, results, store
from tests.stages.project import corpus, lay_out, one_thread

__all__ = ["corpus", "one_thread"]  # fixtures


def run() -> dict[str, dict[str, dict[str, float]]]:
    baselines.baselines(cli.job(cli.load(), "image"))
    found: dict[str, dict[str, dict[str, float]]] = json.loads(store.baselines_path("image").read_text())
    return found


def test_pixels_score_what_scikit_learn_finds(corpus: Images) -> None:
    params = cli.load()
    assert set(params["image"]["baselines"]) == {"pixels"}
    found = run()["pixels"]["linear"]
    assert run()["pixels"]["linear"] == found
    vectors = shrunk(corpus, params["image"]["baselines"]["pixels"]["side"])
    train, test = corpus.splits == "train", corpus.splits == "test"
    scale = vectors[train].std(0)
    standard = (vectors - vectors[train].mean(0)) / np.where(scale > 1e-6, scale, 1)
    scores = []
    for strength in params["image"]["baselines"]["pixels"]["strengths"]:
        judge = LogisticRegression(C=1 / (strength * train.sum()), max_iter=5000)
        scores.append(
            judge.fit(standard[train], corpus.labels[train]).score(standard[test], corpus.labels[test])
        )
    assert min(abs(found["accuracy"] - score) for score in scores) < 0.07  # one picture of sixteen
    assert found["accuracy"] > found["accuracy.chance"]


def test_a_modality_that_is_not_wanted_has_none(corpus: Images) -> None:
    store.write_json(store.source_path("image"), {"wanted": False})
    assert run() == {}


def test_a_wrong_name_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, baselines={"pixel": {}})
    with pytest.raises(ValueError, match='no baseline of image "pixel"; have pixels; did you mean pixels'):
        run()


def test_a_baseline_that_has_no_task_here_is_no_failure(
    corpus: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "modalities.image.baselines.pixels.run", lambda corpus, *, seed, side, strengths, held_out: {}
    )
    assert run() == {"pixels": {}}
    (found,) = results.read_baselines(cli.load(), "image", [])
    assert not found.problems and not found.scores
    store.baselines_path("image").unlink()
    (found,) = results.read_baselines(cli.load(), "image", [])
    assert found.problems == [("failed or not run", "not in baselines.json")]
