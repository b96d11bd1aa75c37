"""Label efficiency: a plot a way of using the encoder, one scale a set, and the line of training from scratch."""

from typing import Any

import pytest

from stages import efficiency, figures, leaderboard, results
from stages.leaderboard import Board
from stages.results import Measure, Run

SHARES = (1, 10, 100)


def board(*tasks: str, shares: tuple[int, ...] = SHARES) -> Board:
    scores = {
        Measure("transfer" if "tune" in task else "probe", task, f"accuracy@{share}%"): 0.2 * k + 0.01 * share
        for k, task in enumerate(tasks, 1)
        for share in shares
    }
    runs = [Run("image", name, seed, scores=scores) for name in ("random", "simclr") for seed in (1, 2)]
    return leaderboard.board("image", runs, leaderboard.rows(runs))


@pytest.fixture
def figured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(title, figure) of every plot that is made."""
    seen: list[tuple[str, Any]] = []

    def keep(figure: Any, title: str, name: str) -> str:
        seen.append((title, figure))
        return ""

    monkeypatch.setattr(efficiency, "html", keep)
    return seen


def draw(found: Board) -> None:
    efficiency.plots(found, figures.styles(["random", "simclr"]))


def names(figured: list[tuple[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(title, [trace.name for trace in figure.data]) for title, figure in figured]


def test_frozen_and_tuned_have_one_scale_and_both_show_training_from_scratch(
    figured: list[tuple[str, Any]],
) -> None:
    draw(board("labels", "fine_tune"))
    assert names(figured) == [
        ("A classifier on the frozen encoder", ["random", "simclr", "from scratch"]),
        ("The whole encoder, fine-tuned", ["from scratch", "simclr"]),
    ]
    tops = [figure.layout.yaxis.range[1] for _, figure in figured]
    assert tops[0] == tops[1] == pytest.approx(1.05 * 1.4)
    scratch = [trace for _, figure in figured for trace in figure.data if trace.name == "from scratch"]
    assert len(scratch) == 2 and scratch[0].line == scratch[1].line and scratch[0].y == scratch[1].y
    random = figured[0][1].data[0]
    assert random.line.dash != scratch[0].line.dash and random.marker.symbol != scratch[0].marker.symbol


def test_one_seed_has_the_bars_of_its_draws(figured: list[tuple[str, Any]], tree: dict[str, Any]) -> None:
    for seeds, bar in ([17], 0.02), ([17, 18], None):
        tree["seeds"] = seeds
        figured.clear()
        runs = results.read(tree)
        efficiency.plots(leaderboard.board("image", runs, leaderboard.rows(runs)), figures.styles(["random"]))
        first = figured[0][1].data[0].error_y.array[0]
        assert first == bar if bar else first not in (0, 0.02)


def test_sets_have_plots_of_their_own_and_one_share_is_no_curve(figured: list[tuple[str, Any]]) -> None:
    draw(board("labels", "labels (flowers)", "fine_tune (flowers)"))
    assert names(figured) == [
        ("A classifier on the frozen encoder", ["random", "simclr"]),
        ("A classifier on the frozen encoder, on flowers", ["random", "simclr", "from scratch"]),
        ("The whole encoder, fine-tuned, on flowers", ["from scratch", "simclr"]),
    ]
    tops = [figure.layout.yaxis.range[1] for _, figure in figured]
    assert tops[0] < tops[1] == tops[2]
    figured.clear()
    draw(board("labels", "fine_tune", shares=(10,)))
    assert figured == []
