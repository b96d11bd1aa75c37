"""The leaderboard: what counts, what the means are, and when a method may be called best."""

import json
import math
import statistics
from typing import Any

import numpy as np
import pytest

from stages import leaderboard, results, store, tables
from stages.leaderboard import HEADLINE, Row
from stages.results import Measure, Run
from tests.stages.conftest import SEEDS, Rewrite, settings, write_corpus, write_run


def row(method: str, mean: float | None, std: float | None = 0.01, seeds: int = 3) -> Row:
    return Row("image", method, HEADLINE, mean, std, seeds, 0.1, 30_000, 1000)


def lines(params: dict[str, Any]) -> dict[tuple[str, str, str], Row]:
    rows = leaderboard.rows(results.read(params))
    return {(found.method, found.measure.task, found.measure.metric): found for found in rows}


def board(params: dict[str, Any]) -> leaderboard.Board:
    runs = results.read(params)
    return leaderboard.board("image", runs, leaderboard.rows(runs))


def values(method: str) -> list[float]:
    paths = [store.metrics_path("image", method, seed, "probe") for seed in SEEDS]
    return [json.loads(path.read_text())["linear"]["accuracy"] for path in paths]


def test_mean_and_sample_deviation_over_seeds(tree: dict[str, Any]) -> None:
    found = lines(tree)["rotation", "linear", "accuracy"]
    assert found.mean == pytest.approx(np.mean(values("rotation")))
    assert found.std == pytest.approx(np.std(values("rotation"), ddof=1))
    assert (found.seeds, found.samples, found.parameters) == (3, 30_000, 701_000)
    assert found.chance == pytest.approx(1 / 7)


def test_one_seed_has_no_deviation_and_nothing_is_best(tree: dict[str, Any]) -> None:
    tree["seeds"] = [18]
    found = board(tree)
    assert {line.rows[HEADLINE].std for line in found.lines if HEADLINE in line.rows} == {None}
    assert found.best == {}
    assert "SimCLR's encoder scores highest, but one seed cannot say" in tables.verdict(found, "it")


def test_rows_read_from_best_to_worst_within_a_task(tree: dict[str, Any]) -> None:
    rows = leaderboard.rows(results.read(tree))
    tasks = list(dict.fromkeys((found.measure.task, found.measure.metric) for found in rows))
    shares = [("labels", f"accuracy@{share}%") for share in (1, 10, 100)]
    assert tasks == [
        ("linear", "accuracy"), ("linear", "mean_per_class"), ("knn", "accuracy"), *shares,
        ("fine_tune", "accuracy@10%"), ("language (articles)", "perplexity"),
        ("language (articles)", "bits per byte"), ("pretext", "accuracy"),
    ]  # fmt: skip
    means = [found.mean for found in rows if found.measure == HEADLINE]
    assert means == [*sorted((m for m in means if m is not None), reverse=True), None, None]


def test_of_a_pretext_only_what_has_a_chance_is_a_score() -> None:
    logged = {"loss": 1.0, "std": 0.1, "temperature": 0.5, "accuracy": 0.8, "accuracy.chance": 0.25}
    assert list(results.scores("pretrain", logged)) == [
        (Measure("pretrain", "pretext", "accuracy"), 0.8, 0.25)
    ]


def test_only_what_params_yaml_lists_is_read(tree: dict[str, Any]) -> None:
    tree["run"] = {"image": ["random", "rotation"]}
    found = board(tree)
    assert [line.method for line in found.lines] == ["rotation", "random", "pixels", "supervised"]
    assert found.line("supervised").state == "not in `run`"
    assert any(note.startswith("supervised: not in `run`") for note in tables.notes(found))


def test_metrics_of_another_encoder_are_stale(tree: dict[str, Any]) -> None:
    jigsaw = board(tree).line("jigsaw")
    assert jigsaw.state == "stale" and HEADLINE not in jigsaw.rows and jigsaw.counted == 0
    assert jigsaw.notes == ["stale: probe.json judges another encoder (seed 17, 18, 19)"]
    assert lines(tree)["jigsaw", "linear", "accuracy"].seeds == 0


def test_a_method_without_an_encoder_is_shown_and_not_counted(tree: dict[str, Any]) -> None:
    colorization = board(tree).line("colorization")
    assert (colorization.state, colorization.rows) == ("failed or not run", {})
    assert lines(tree)["colorization", "linear", "accuracy"].mean is None


def test_a_score_that_is_not_a_number_has_failed(tree: dict[str, Any], rewrite: Rewrite) -> None:
    rewrite("rotation", 18, "probe", linear={"accuracy": math.nan, "accuracy.chance": 1 / 7})
    found = board(tree)
    rotation = found.line("rotation")
    assert rotation.notes == ["failed: linear accuracy is nan (seed 18)"]
    assert (rotation.state, rotation.counted, rotation.rows[HEADLINE].seeds) == ("failed", 2, 2)
    others = [values("rotation")[k] for k in (0, 2)]
    assert rotation.rows[HEADLINE].mean == pytest.approx(statistics.fmean(others))


def test_a_run_whose_loss_blew_up_counts_for_nothing(tree: dict[str, Any], rewrite: Rewrite) -> None:
    rewrite("rotation", 17, "pretrain", loss=math.nan)
    run = results.read_run(tree, "image", "rotation", 17)
    assert (run.state, run.scores) == ("failed", {})


def test_an_encoder_trained_with_other_params_is_stale(tree: dict[str, Any]) -> None:
    tree["image"]["pretexts"]["rotation"]["model"] = {"dim": 64}
    run = results.read_run(tree, "image", "rotation", 17)
    assert run.problems == [("stale", "trained with another `model` than params.yaml now has")]
    assert run.scores == {}


def test_a_baseline_is_a_row_without_seeds_spread_or_rank(tree: dict[str, Any]) -> None:
    found = board(tree)
    pixels = found.line("pixels")
    assert pixels.baseline and (pixels.counted, pixels.seeds, pixels.state) == (1, 1, "")
    assert set(pixels.rows) == {HEADLINE} and pixels.rows[HEADLINE].mean == 0.51
    assert {name for name, task, _ in lines(tree) if name == "pixels" and task != "linear"} == set()
    assert "pixels 0.510" in tables.verdict(found, "it")
    assert "forgotten" not in {line.method for line in found.lines}


def test_nothing_is_best_that_a_baseline_beats(tree: dict[str, Any]) -> None:
    assert board(tree).best[HEADLINE] == "simclr"
    store.write_json(store.baselines_path("image"), {"pixels": {"linear": {"accuracy": 0.9}}})
    assert HEADLINE not in board(tree).best


def test_a_baseline_that_was_not_run_is_said_to_be_missing(tree: dict[str, Any]) -> None:
    store.baselines_path("image").unlink()
    assert board(tree).line("pixels").state == "failed or not run"


def test_where_less_is_better_the_least_comes_first_and_may_be_best() -> None:
    measure = Measure("transfer", "perplexity", "bits per byte")
    runs = [
        Run("text", method, seed, scores={measure: value + seed / 1000})
        for method, value in (("random", 3.0), ("causal_lm", 2.0), ("masked_words", 2.5))
        for seed in (1, 2)
    ]
    found = [row for row in leaderboard.rows(runs) if row.measure == measure and row.seeds]
    assert [row.method for row in found] == ["causal_lm", "masked_words", "random"]
    assert leaderboard.best(found) == "causal_lm"


def test_a_task_opens_with_what_it_is_known_by_and_counts_in_numbers() -> None:
    def ordered(*metrics: str) -> list[str]:
        return [
            m.metric for m in sorted((Measure("transfer", "t", x) for x in metrics), key=leaderboard.order)
        ]

    assert ordered("F", "F decay", "J", "J decay", "J&F") == ["J&F", "F", "J", "F decay", "J decay"]
    assert ordered("hit@10", "hit@5", "hit@1") == ["hit@1", "hit@5", "hit@10"]
    assert ordered("PCK found@0.1", "PCK@0.2", "PCK@0.1") == ["PCK@0.1", "PCK@0.2", "PCK found@0.1"]
    assert ordered("accuracy@10%", "accuracy@1%", "AP") == ["accuracy@1%", "accuracy@10%", "AP"]
    assert ordered("fitted spearman", "pearson", "spearman")[0] == "spearman"


def test_only_a_share_of_labels_is_one() -> None:
    found = [
        leaderboard.fraction(Measure("probe", "t", m)) for m in ("accuracy@10%", "hit@5", "PCK@0.1", "AP")
    ]
    assert found == [0.1, None, None, None]
    assert leaderboard.parted(Measure("probe", "t", "hit@5")) == ("hit@5", "")


def test_the_headline_is_linear_on_the_corpus_or_else_on_the_first_further_set() -> None:
    further = [Measure("probe", f"linear ({name})", "accuracy") for name in ("reviews", "newsrooms")]
    others = [
        Measure("probe", "knn (a)", "accuracy"),
        Measure("probe", "linear (newsrooms)", "mean_per_class"),
    ]
    assert leaderboard.headline([*further, *others]) == further[1]
    assert leaderboard.headline([*further, HEADLINE, *others]) == HEADLINE
    assert leaderboard.headline(others[:1]) == HEADLINE


def test_a_task_that_is_not_for_a_method_has_no_line_of_it(tree: dict[str, Any], rewrite: Rewrite) -> None:
    for seed in SEEDS:
        path = store.metrics_path("image", "simclr", seed, "transfer")
        found = json.loads(path.read_text())
        store.write_json(path, {"encoder": found["encoder"]})
    names = {name for name, task, _ in lines(tree) if task == "fine_tune"}
    assert "simclr" not in names and {"rotation", "colorization"} <= names


def test_an_encoder_of_another_corpus_is_stale(tree: dict[str, Any]) -> None:
    path = store.corpus_path("image") / "meta.json"
    store.write_json(path, json.loads(path.read_text()) | {"fingerprint": "another"})
    states = {run.state for run in results.read(tree) if not run.baseline}
    assert states == {"stale", "failed or not run"}


def test_missing_metrics_are_not_judged_yet(tree: dict[str, Any]) -> None:
    store.metrics_path("image", "simclr", 19, "probe").unlink()
    line = board(tree).line("simclr")
    assert (line.state, line.counted) == ("partly judged", 2)
    for seed in SEEDS:
        for stage in ("probe", "transfer"):
            store.metrics_path("image", "byol", seed, stage).unlink(missing_ok=True)
    assert board(tree).line("byol").state == "not judged yet"


def test_without_transfers_none_is_missed(tree: dict[str, Any]) -> None:
    store.metrics_path("image", "simclr", 19, "transfer").unlink()
    assert board(tree).line("simclr").state == "partly judged"
    tree["image"]["transfers"] = {}
    assert board(tree).line("simclr").state == ""


def test_beyond_is_two_standard_errors_of_the_difference() -> None:
    error = math.sqrt(0.01**2 / 3 + 0.02**2 / 5)
    other = row("b", 0.5, 0.02, 5)
    assert leaderboard.beyond(row("a", 0.5 + 2.001 * error), other)
    assert not leaderboard.beyond(row("a", 0.5 + 1.999 * error), other)
    assert not leaderboard.beyond(row("a", 0.9, None, 1), other)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"supervised": 0.9, "a": 0.60, "b": 0.50, "random": 0.40}, "a"),
        ({"a": 0.601, "b": 0.600, "random": 0.40}, None),  # within the spread of the next
        ({"a": 0.501, "random": 0.500}, None),  # within the spread of no training at all
        ({"a": 0.60, "random": 0.50}, "a"),
        ({"random": 0.60, "a": 0.50}, None),
        ({"a": 0.60}, None),  # nothing to be better than
    ],
)
def test_best_is_beyond_every_other_method_and_random(means: dict[str, float], expected: str | None) -> None:
    assert leaderboard.best([row(name, mean) for name, mean in means.items()]) == expected


def test_what_has_no_better_direction_has_no_best() -> None:
    measure = Measure("transfer", "geometry", "effective_rank")
    runs = [
        Run("image", method, seed, scores={measure: value + seed / 1000})
        for method, value in (("random", 10.0), ("simclr", 30.0), ("rotation", 20.0))
        for seed in (1, 2)
    ]
    assert leaderboard.board("image", runs, leaderboard.rows(runs)).best == {}
    assert [leaderboard.describes(Measure("transfer", "t", name)) for name in ("alignment", "mAP")] == [
        True,
        False,
    ]


def test_nothing_run_is_one_error(project: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"none of the 21 runs .* run `dvc repro` first"):
        results.read(settings())


def test_an_empty_run_is_one_error(project: Any) -> None:
    with pytest.raises(ValueError, match="`run` and `seeds` list nothing"):
        results.read(settings() | {"run": {"image": []}})


def test_a_broken_metrics_file_is_named(project: Any) -> None:
    params = settings()
    write_corpus()
    write_run("rotation", 17, params)
    store.metrics_path("image", "rotation", 17, "probe").write_text("{")
    with pytest.raises(ValueError, match=r"rotation/17/probe.json is not JSON"):
        results.read(params)


def test_a_run_knows_the_worst_of_its_problems() -> None:
    problems = [("not judged yet", ""), ("failed", ""), ("stale", "")]
    assert Run("image", "a", 1, problems=problems).state == "failed"
    assert Run("image", "a", 1).state == ""
