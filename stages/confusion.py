"""Who is mistaken for whom: what the linear probe called the test samples of each class. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.leaderboard import Board, exact
from stages.results import Run

MOST = 20  # classes of a picture: more could not be read
COLUMNS = ("modality", "method", "seed", "actual", "predicted", "count", "share")


@dataclass(frozen=True)
class Matrix:
    """K classes that are shown: `counts[i, j]` samples of class i were called j; `sizes` are all there are of it."""

    counts: NDArray[np.int64]  # (K, K)
    sizes: NDArray[np.int64]  # (K,)


@dataclass(frozen=True)
class Confusions:
    classes: list[str]  # the same in every matrix
    total: int  # classes that there are
    matrices: dict[str, Matrix]  # by method


def first(board: Board, runs: Sequence[Run]) -> dict[str, Run]:
    """Of each method the first seed that counts and tells, on the set that the headline speaks of."""
    mine = [run for run in runs if run.modality == board.modality and board.headline.task in run.confusions]
    of = {line.method: [run for run in mine if run.method == line.method] for line in board.lines}
    return {method: each[0] for method, each in of.items() if each}


def confusions(board: Board, runs: Sequence[Run], order: Sequence[str]) -> Confusions | None:
    """Matrices in the order of the leaderboard; of many classes those that are mistaken most, all methods together."""
    said = {name: run.confusions[board.headline.task] for name, run in first(board, runs).items()}
    if not said:
        return None
    wrong: dict[str, int] = {}
    for each in said.values():
        for actual, called in each.items():
            wrong[actual] = wrong.get(actual, 0) + sum(called.values()) - called.get(actual, 0)
    names = sorted(wrong, key=lambda name: order.index(name) if name in order else len(order))
    worst = set(sorted(names, key=lambda name: -wrong[name])[:MOST])
    shown = [name for name in names if name in worst]
    return Confusions(shown, len(names), {method: matrix(each, shown) for method, each in said.items()})


def matrix(said: dict[str, dict[str, int]], classes: Sequence[str]) -> Matrix:
    rows = [said.get(actual, {}) for actual in classes]
    counts = np.array([[row.get(predicted, 0) for predicted in classes] for row in rows], np.int64)
    return Matrix(counts, np.array([sum(row.values()) for row in rows], np.int64))


def lines(board: Board, runs: Sequence[Run]) -> Iterator[list[str]]:
    """confusion.csv: what happened, a line a pair of classes; `share` is of all samples of the actual class."""
    for method, run in first(board, runs).items():
        for actual, called in sorted(run.confusions[board.headline.task].items()):
            for predicted, count in sorted(called.items()):
                share = exact(count / sum(called.values()))
                yield [board.modality, method, str(run.seed), actual, predicted, str(count), share]
