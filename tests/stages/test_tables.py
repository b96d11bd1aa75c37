"""A leaderboard in words and in plain text: headings, footnotes and the verdict."""

from typing import Any

import pytest

from stages import leaderboard, store, tables
from stages.leaderboard import HEADLINE
from stages.results import Measure, Run
from tests.stages.conftest import SEEDS, Rewrite
from tests.stages.test_leaderboard import board, values


def test_columns_stand_under_their_task_and_the_first_of_each_set_is_seen() -> None:
    names = {
        "linear (b)": ["accuracy", "mean_per_class"],
        "linear": ["accuracy"],
        "labels": ["accuracy@1%", "accuracy@10%"],
    }
    scores = {Measure("probe", task, metric): 0.5 for task, metrics in names.items() for metric in metrics}
    scores[Measure("transfer", "language", "perplexity")] = 9.0
    runs = [Run("text", "random", 1, scores=scores)]
    found = tables.groups(leaderboard.board("text", runs, leaderboard.rows(runs)))
    told = [(g.task, g.leads, [(c.title, c.notes, c.lead) for c in g.columns]) for g in found]
    assert told == [
        ("linear", 2, [("accuracy", [], True), ("b", ["accuracy"], True), ("b", ["mean_per_class"], False)]),
        ("labels", 1, [("accuracy", ["@1%"], True), ("accuracy", ["@10%"], False)]),
        ("language", 1, [("perplexity", ["less is better"], True)]),
    ]


def test_the_verdict_goes_no_further_than_the_spread(tree: dict[str, Any], rewrite: Rewrite) -> None:
    assert tables.verdict(board(tree), "toys").startswith(
        "On toys, SimCLR's is the best self-supervised encoder: linear 0.60"
    )
    for seed, value in zip(SEEDS, values("simclr"), strict=True):
        rewrite("rotation", seed, "probe", linear={"accuracy": value - 0.001, "accuracy.chance": 1 / 7})
    found = board(tree)
    assert HEADLINE not in found.best
    assert "SimCLR's encoder is ahead, but within the spread of Rotation: linear 0.60" in tables.verdict(
        found, "it"
    )
    for seed, value in zip(SEEDS, values("simclr"), strict=True):
        rewrite("random", seed, "probe", linear={"accuracy": value - 0.001, "accuracy.chance": 1 / 7})
    assert "no encoder is beyond the spread of an untrained one" in tables.verdict(board(tree), "it")


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ({"rotation": [0.6], "random": [0.5]}, "Rotation's encoder scores highest, but one seed cannot say"),
        ({"rotation": [0.5], "random": [0.5]}, "Rotation's encoder is level with an untrained one"),
        (
            {"rotation": [0.4], "random": [0.5]},
            "no self-supervised encoder reaches an untrained one; Rotation's",
        ),
        (
            {"rotation": [0.6], "simclr": [0.6], "random": [0.5]},
            "scores highest, level with SimCLR, but one seed cannot say",
        ),
        ({"rotation": [0.6]}, "nothing says what an untrained encoder is worth; Rotation's comes first"),
        (
            {"rotation": [0.40, 0.41], "random": [0.5, 0.51]},
            "no self-supervised encoder reaches an untrained one",
        ),
        (
            {"rotation": [0.50, 0.60], "random": [0.5, 0.51]},
            "no encoder is beyond the spread of an untrained one",
        ),
        ({"rotation": [0.60, 0.61], "random": [0.5, 0.51]}, "Rotation's is the best self-supervised encoder"),
    ],
)
def test_one_seed_is_never_ahead_and_equal_is_level(means: dict[str, list[float]], said: str) -> None:
    runs = [
        Run("image", method, seed, scores={HEADLINE: value})
        for method, values in means.items()
        for seed, value in enumerate(values)
    ]
    found = tables.verdict(leaderboard.board("image", runs, leaderboard.rows(runs)), "toys")
    assert said in found
    assert "ahead" not in found or all(len(values) > 1 for values in means.values())


def test_a_baseline_without_an_encoder_that_is_not_beaten_is_named() -> None:
    scores = {"rotation": [0.60, 0.61], "random": [0.5, 0.51]}
    runs = [Run("image", m, s, scores={HEADLINE: v}) for m, vs in scores.items() for s, v in enumerate(vs)]
    runs.append(Run("image", "pixels", 17, baseline=True, scores={HEADLINE: 0.7}))
    found = tables.verdict(leaderboard.board("image", runs, leaderboard.rows(runs)), "toys")
    assert (
        "Rotation's is the best self-supervised encoder, but not beyond pixels, without an encoder: linear"
        in found
    )


def test_the_markdown_table_frames_the_methods(tree: dict[str, Any]) -> None:
    first, labels = tables.markdown(board(tree)).split("\n\n")
    for text, head in ((first, "linear"), (labels, "labels @1%")):
        table = text.splitlines()
        assert len({len(line) for line in table}) == 1 and len(table[0]) <= 105
        names = [line.split()[1] for line in table[2:] if "pixels" not in line]
        assert names == [
            "supervised", "simclr", "rotation", "byol", "random", "jigsaw", "colorization", "chance",
        ]  # fmt: skip
        assert ("pixels" in text) == (head == "linear")
        table = [line for line in table if "pixels" not in line]
        assert head in table[0] and "**." in table[3] and "**" not in table[2] + table[4]
        assert "stale" in table[7] and "no encoder" in table[8] and ".143" in table[9]
    assert "(.0039) |" in first and "pretext" not in labels


def test_what_is_true_of_several_methods_is_said_once(tree: dict[str, Any]) -> None:
    for method in ("simclr", "rotation"):
        store.metrics_path("image", method, 19, "transfer").unlink()
    assert "simclr, rotation: not judged yet: no transfer.json (seed 19)" in tables.notes(board(tree))


def test_whose_encoder_it_is() -> None:
    assert [tables._whose(name) for name in ("Rotation", "Masked words")] == ["Rotation's", "Masked words'"]
