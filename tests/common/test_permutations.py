"""Permutations far apart: the paper's figures, and the greedy choice against loops over all of them."""

from itertools import permutations

import numpy as np
import pytest

from modalities.common.permutations import distances, far_apart


def slow(things: int, count: int, first: int) -> list[tuple[int, ...]]:
    """The rule with loops: largest minimum distance, then largest mean, then the lowest number."""
    every = list(permutations(range(things)))

    def apart(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return sum(x != y for x, y in zip(a, b, strict=True))

    chosen = [every[first]]
    while len(chosen) < count:
        best, judged = every[0], (-1, -1.0)
        for candidate in every:
            found = [apart(candidate, other) for other in chosen]
            if (min(found), sum(found) / len(found)) > judged:
                best, judged = candidate, (min(found), sum(found) / len(found))
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("first", [0, 77])
def test_the_choice_equals_loops_over_all_orders_of_five(first: int) -> None:
    assert [tuple(row) for row in far_apart(5, 30, first).tolist()] == slow(5, 30, first)


@pytest.mark.parametrize(("count", "mean", "least"), [(64, 8.123, 7), (100, 8.08, 6)])
def test_sets_of_the_papers_size_are_as_far_apart_as_published_rules_get(
    count: int, mean: float, least: int
) -> None:
    chosen = far_apart(9, count, 0)
    assert chosen.shape == (count, 9)
    assert np.array_equal(np.sort(chosen, 1), np.tile(np.arange(9), (count, 1)))
    assert len({tuple(row) for row in chosen.tolist()}) == count
    assert distances(chosen).min() == least
    assert distances(chosen).mean() == pytest.approx(mean, abs=5e-4)


def test_distances_are_those_of_all_pairs() -> None:
    chosen = far_apart(6, 12, 5)
    pairs = [(chosen[i] != chosen[j]).sum() for i in range(12) for j in range(i + 1, 12)]
    assert np.array_equal(distances(chosen), pairs)


def test_all_orders_can_be_asked_for() -> None:
    assert len({tuple(row) for row in far_apart(4, 24, 3).tolist()}) == 24
