"""What pretraining took, from the run logs: artifacts/report/times.html, which the page reads.

Durations differ from run to run, and the same inputs must give the same outputs. So the page itself holds none: it
looks them up by encoder in a file beside it, which .dvcignore keeps out of the cached output. Without that file, or
for an encoder that came out of a cache or from another machine, the page says that there is no log.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stages import store
from stages.leaderboard import Board, Row
from stages.results import Run

FRAME = """<!doctype html>
<meta charset="utf-8">
<title>Times of pretraining</title>
<script>parent.postMessage({{ times: {} }}, "*");</script>
"""


class Line(NamedTuple):
    """One method's row of the table of costs."""

    method: str
    row: Row | None  # of the headline
    samples: int | None  # a seed
    parameters: int | None
    encoders: list[str]  # digests, one a seed that counts


class Times(NamedTuple):
    """Of one run. One that was killed and went on counts as if it had not been."""

    seconds: float
    rate: float  # samples a second
    machine: str


def table(board: Board, runs: Sequence[Run]) -> list[Line]:
    """A line for each method that has an encoder, in the leaderboard's order."""
    found = []
    for line in board.lines:
        mine = [run for run in runs if run.method == line.method and run.digest and not run.problems]
        if mine and not line.baseline:
            about = mine[0].about
            encoders = [run.digest for run in mine]
            row = line.rows.get(board.headline)
            found.append(Line(line.method, row, mine[0].samples, about.get("parameters"), encoders))
    return found


def frame(runs: Sequence[Run]) -> str:
    """times.html: the times of every run that has a log, by the digest of its encoder.

    A page of its own, which sends them to the one that has it in a frame: a frame that is not there is no error, and a
    script that is not there is one.
    """
    found = {run.digest: times._asdict() for run in runs if run.digest and (times := read(run))}
    said = json.dumps(found, indent=1, sort_keys=True).replace("<", "\\u003c")
    return FRAME.format(said)


def read(run: Run) -> Times | None:
    """None where no log says how this very encoder was trained, or where nothing was."""
    return times(lines(store.log_path(run.modality, run.method, str(run.seed))), run.digest)


def times(log: Sequence[dict[str, Any]], encoder: str) -> Times | None:
    """The last training of this encoder that the log has: a run that is repeated is logged below the first."""
    ends = [k for k, line in enumerate(log) if "encoder" in line]
    mine = [k for k in ends if log[k]["encoder"] == encoder]
    if not mine:
        return None
    before = max((k for k in ends if k < mine[-1]), default=-1)
    end = log[mine[-1]]
    parts = [line for line in log[before + 1 : mine[-1]] if line["run"] == end["run"]]
    trained, seconds = sum(x["samples"] - x["from"] for x in parts), sum(x["seconds"] for x in parts)
    if trained <= 0 or seconds <= 0:
        return None
    # What a kill lost was trained twice and partly logged: the rate is right all the same.
    rate = trained / seconds
    return Times(round(max(x["samples"] for x in parts) / rate, 2), round(rate, 1), end["machine"])


def lines(file: Path) -> list[dict[str, Any]]:
    return list(_lines(file)) if file.exists() else []


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for text in file.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # half a line, of a process that was killed
        if "run" in line:
            yield line
