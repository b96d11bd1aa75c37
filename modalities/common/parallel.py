"""The same function over many items, in several processes; an item that kills or hangs its process costs itself only.

Processes come from a fork server, which holds no threads: plain forking copies locks that other threads may hold.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS = 60  # for one item; a decoder that takes longer hangs
MOST_DEATHS = 20  # more is a fault of this machine or of `work`, not of the items
CHUNK = 32  # most items sent at a time: fewer costs more messages, more makes processes wait for the last

_work: Callable[[Any], Any]
_seconds: int


class Died(Exception):
    """The process that worked on an item ended, or was ended after SECONDS."""


def processes() -> int:
    """As many as there are cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    work: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[list[tuple[Item, Result | Died]]]:
    """Yield chunks of (item, work(item)) as they end, in any order. `work` is sent to each process once.

    Whatever `work` raises ends the run; what kills its process is told by a Died in place of the result.
    """
    size = max(1, min(CHUNK, len(items) // (8 * count)))
    chunks = [list(items[k : k + size]) for k in range(0, len(items), size)][::-1]
    lost: list[list[Item]] = []
    while chunks:
        yield from _run(work, chunks, count, lost)
    # Which item of a lost chunk did it is only seen one at a time.
    singles = [[item] for chunk in lost for item in chunk]
    died: list[list[Item]] = []
    while singles:
        yield from _run(work, singles, 1, died)
        if len(died) > MOST_DEATHS:
            raise RuntimeError(f"{len(died)} items killed their process; the last was {died[-1][0]}")
    yield [
        (item, Died(f"its process crashed, or took longer than {SECONDS} s"))
        for chunk in died
        for item in chunk
    ]


def _run(
    work: Callable[[Item], Result], chunks: list[list[Item]], count: int, lost: list[list[Item]]
) -> Iterator[list[tuple[Item, Result | Died]]]:
    """Work chunks off until none is left or a process dies; those then in hand go to `lost`."""
    ahead = 1 if count == 1 else 2 * count
    with _pool(work, count) as pool:
        broken = False
        running: dict[Future[list[Result]], list[Item]] = {}
        while running or (chunks and not broken):
            while chunks and not broken and len(running) < ahead:
                try:
                    running[pool.submit(_chunk, chunks[-1])] = chunks[-1]
                    chunks.pop()
                except BrokenProcessPool:
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chunk = running.pop(future)
                try:
                    yield list(zip(chunk, future.result(), strict=True))
                except BrokenProcessPool:
                    lost.append(chunk)
                    broken = True


@contextmanager
def _pool(work: Callable[[Any], Any], count: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", work.__class__.__module__])
    pool = ProcessPoolExecutor(count, context, _start, (work, SECONDS))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(work: Callable[[Any], Any], seconds: int) -> None:
    global _work, _seconds
    _work, _seconds = work, seconds
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends the pool
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # its default ends the process, even inside a decoder
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write their complaints there


def _chunk(items: list[Any]) -> list[Any]:
    results = []
    try:
        for item in items:
            signal.alarm(_seconds)
            results.append(_work(item))
    finally:
        signal.alarm(0)
    return results
