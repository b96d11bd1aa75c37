"""Parallel work: every item comes back once, and one that kills or hangs its process costs itself only."""

import os
import signal
import time

import pytest

from modalities.common import parallel


def double(item: int) -> int:
    return 2 * item


def deadly(item: int) -> int:
    """Dies on 40 as a crashing decoder does, and hangs on 70."""
    if item == 40:
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 70:
        time.sleep(60)
    return 2 * item


def hopeless(item: int) -> int:
    os._exit(1)


def wrong(item: int) -> int:
    raise ZeroDivisionError("a fault of the work itself")


@pytest.mark.parametrize("count", [1, 2])
def test_every_item_comes_back_once(count: int) -> None:
    found = [pair for chunk in parallel.each(double, range(100), count) for pair in chunk]
    assert sorted(found) == [(k, 2 * k) for k in range(100)]
    assert list(parallel.each(double, [], count)) == [[]]


def test_a_crash_and_a_hang_cost_one_item_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SECONDS", 1)
    found = dict(pair for chunk in parallel.each(deadly, range(200), 2) for pair in chunk)
    assert {item for item, result in found.items() if isinstance(result, parallel.Died)} == {40, 70}
    assert all(found[k] == 2 * k for k in range(200) if k not in (40, 70))


def test_processes_that_always_die_end_the_run() -> None:
    with pytest.raises(RuntimeError, match="items killed their process"):
        list(parallel.each(hopeless, range(100), 2))


def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="a fault of the work itself"):
        list(parallel.each(wrong, range(100), 2))
