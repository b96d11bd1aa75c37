"""How far a long job is: a bar on a terminal, a plain line every tenth elsewhere. Nothing of it is kept."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Track:
    """`advance` after each piece of work; `text` says what else is worth showing, such as the loss.

    Rates count what this process did: `done` is what an earlier one had done already.
    """

    def __init__(self, total: int, unit: str, label: str, bar: Progress | None, done: int) -> None:
        self.total, self.unit, self.label, self.bar = total, unit, label, bar
        self.done = self.before = done
        self.start = time.monotonic()
        self.quiet = int(os.environ.get("RANK", 0)) > 0  # of several processes one speaks
        self.task = bar.add_task(label, total=total, completed=done, rate="", text="") if bar else None

    def advance(self, n: int = 1, text: str = "") -> None:
        before, self.done = self.done, self.done + n
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=self.done, rate=self._rate(), text=text)
        elif not self.quiet and self.done * 10 // max(self.total, 1) > before * 10 // max(self.total, 1):
            spent, mine = time.monotonic() - self.start, max(self.done - self.before, 1)
            left = (self.total - self.done) * spent / mine
            ends = [self._rate(), f"{left:,.0f} s left", text]
            print(
                f"{self.label}: {self.done:,}/{self.total:,} {self.unit}",
                *filter(None, ends),
                sep=", ",
                flush=True,
            )

    def _rate(self) -> str:
        rate = (self.done - self.before) / max(time.monotonic() - self.start, 1e-9)
        return f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s"


@contextmanager
def track(total: int, unit: str, label: str, done: int = 0) -> Iterator[Track]:
    """`with track(len(files), "files", "ingest") as progress: ... progress.advance(1, "loss 0.31")`."""
    if not sys.stdout.isatty() or int(os.environ.get("RANK", 0)) > 0:
        yield Track(total, unit, label, None, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, refresh_per_second=5) as bar:
        yield Track(total, unit, label, bar, done)
