"""Confusion: the first seed of each method, rows that add up, and of many classes those that are mistaken most."""

from typing import Any

import numpy as np

from stages import confusion, leaderboard, report, results
from stages.leaderboard import HEADLINE, Board
from stages.results import Run
from tests.stages.conftest import CLASSES, Rewrite, called
from tests.stages.test_report import table


def read(params: dict[str, Any]) -> tuple[Board, list[Run]]:
    runs = results.read(params)
    return leaderboard.board("image", runs, leaderboard.rows(runs)), runs


def test_each_method_that_counts_has_the_matrix_of_its_first_seed(
    tree: dict[str, Any], rewrite: Rewrite
) -> None:
    rewrite(
        "rotation", 17, "probe", linear={"accuracy": 0.5, "accuracy.chance": 1 / 7, "confusion": called(0.25)}
    )
    found = confusion.confusions(*read(tree), CLASSES)
    assert found and (found.classes, found.total) == (CLASSES, 7)
    assert list(found.matrices) == ["supervised", "simclr", "byol", "rotation", "random"]
    rotation = found.matrices["rotation"]
    assert rotation.counts.diagonal().tolist() == [25] * 7 and rotation.sizes.tolist() == [100] * 7
    assert rotation.counts[0, 1] == 75 and rotation.counts[6, 0] == 75 and rotation.counts.sum() == 700


def test_of_many_classes_those_that_are_mistaken_most_are_shown_in_their_order(tree: dict[str, Any]) -> None:
    names = [f"{k:02}" for k in range(30)]
    wrong = {name: {name: 100 - k, "00": k} for k, name in enumerate(names)}
    run = Run("image", "rotation", 17, scores={HEADLINE: 0.5}, confusions={"linear": wrong})
    board = leaderboard.board("image", [run], leaderboard.rows([run]))
    found = confusion.confusions(board, [run], names)
    assert found and (found.classes, found.total) == (names[10:], 30)
    assert found.matrices["rotation"].sizes.tolist() == [100] * 20
    np.testing.assert_array_equal(found.matrices["rotation"].counts, np.diag(range(90, 70, -1)))


def test_without_a_probe_that_tells_there_is_none() -> None:
    run = Run("image", "rotation", 17, scores={HEADLINE: 0.5})
    board = leaderboard.board("image", [run], leaderboard.rows([run]))
    assert confusion.confusions(board, [run], []) is None and list(confusion.lines(board, [run])) == []


def test_the_file_for_plots_has_a_line_for_what_happened_and_shares_that_add_up(tree: dict[str, Any]) -> None:
    report.report(tree)
    found = table(report.REPORT / "confusion.csv")
    assert tuple(found[0]) == confusion.COLUMNS and len(found) == 5 * 14
    assert {line["seed"] for line in found} == {"17"}
    for method in ("random", "simclr"):
        for name in CLASSES:
            mine = [line for line in found if (line["method"], line["actual"]) == (method, name)]
            assert (
                sum(float(line["share"]) for line in mine) == 1
                and sum(int(line["count"]) for line in mine) == 100
            )
