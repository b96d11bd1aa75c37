"""Recipes by name: each overlay is the method that it says, and trains on a toy corpus."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modalities
from pipelines import swap
from stages import cli, loop
from tests.conftest import ROOT, params
from tests.text import toy

METHODS = {
    "elmo": "bidirectional_lm",
    "bert": "masked_words",
    "roberta": "masked_words",
    "albert": "masked_words",
    "gpt": "causal_lm",
    "bart": "sentence_order",
    "pegasus": "gap_sentences",
}


def settings(name: str) -> Any:
    found = params()
    swap.merge(found, cli.load(ROOT / "params" / f"{name}.yaml"), f"{name}.yaml")
    return found


def recipe(name: str, folder: Path) -> tuple[cli.Job, Any]:
    """Its job and its pretext, as the overlay has it, on small documents: fewer entries, longer rows."""
    job = cli.job(settings(name), "text", METHODS[name])
    build = job.params["build"] | {"size": toy.SIZE["vocabulary"]}
    if "length" in build:
        build["length"] = 110  # pieces of so small a corpus are short
    kind, corpus = modalities.pretext("text", METHODS[name]), toy.documents(48).only("train")
    kind.build(corpus, folder, seed=0, **build)
    return job, kind(toy.tiny_trunk(positions=128, width=80), corpus, folder, **job.params["model"])


@pytest.mark.parametrize("name", METHODS)
def test_the_paper_of_a_recipe_stands_in_its_header_and_its_method_runs_beside_random(name: str) -> None:
    assert settings(name)["run"] == {"image": [], "video": [], "text": ["random", METHODS[name]]}
    head = (ROOT / "params" / f"{name}.yaml").read_text().split("\nseeds")[0]
    assert "arXiv:" in head and f"python -m pipelines.swap {name} && make" in head


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_trains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job, pretext = recipe(name, tmp_path)
    keys = job.params["train"] | {"samples": 64, "batch": 8, "health": 16, "device": "cpu"}
    rows = loop.fit(pretext, seed=0, scratch=tmp_path / "run", label=name, **keys)
    assert rows[-1]["samples"] == 64 and all(row["loss"] == row["loss"] for row in rows)


def test_networks_and_tasks_are_those_of_the_papers(tmp_path: Path) -> None:
    made = {}
    for name in METHODS:
        (tmp_path / name).mkdir()
        made[name] = recipe(name, tmp_path / name)[1]
    kinds = {name: type(pretext.encoder).__name__ for name, pretext in made.items()}
    assert kinds["elmo"] == "TwoWayLSTM" and type(made["elmo"].encoder.table).__name__ == "CharacterCNN"
    assert [made[name].encoder.form for name in ("bert", "roberta", "albert", "bart", "pegasus")] == [
        "bert", "roberta", "albert", "bart", "pegasus",
    ]  # fmt: skip
    assert [made[name].pair for name in ("bert", "roberta", "albert")] == ["random", "none", "swap"]
    assert [made[name].copies for name in ("bert", "roberta", "albert")] == [10, 0, 0]
    albert = made["albert"].encoder
    assert albert.embedding().shape[1] == 64 and albert.net.config.num_hidden_groups == 1
    assert kinds["gpt"] == "Decoder"


def test_masks_of_bert_come_in_turn_and_those_of_roberta_are_fresh(tmp_path: Path) -> None:
    index = np.arange(4)
    for name in ("bert", "roberta"):
        (tmp_path / name).mkdir()
        pretext = recipe(name, tmp_path / name)[1]
        seen = []
        for epoch in range(11):
            pretext.before_epoch(lambda index: torch.empty(0))
            seen.append(pretext.batch(index, np.random.default_rng(epoch))["token"])
        same = [torch.equal(seen[0], each) for each in seen[1:] if seen[0].shape == each.shape]
        assert any(same) == (name == "bert"), name
        if name == "bert":
            assert torch.equal(seen[0], seen[10]) and sum(same) < 3
