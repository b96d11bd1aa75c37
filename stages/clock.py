"""Times of training, in logs/: durations are for people and stay out of every output.

A log is only ever added to: a line for each stretch of an epoch that was trained in one go, and at the end of
pretraining a line that says which encoder came of the run. stages/cost.py reads it for the report.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modalities.common import distributed
from stages import store


@contextmanager
def clock(label: str, run: str, begun: int) -> Iterator[Callable[[int, int], None]]:
    """Gives `tick(epoch, samples)`, to be called when an epoch ends. `run` is the name of the unfinished run, whose
    first `begun` samples were trained by an earlier process."""
    since, seen = time.monotonic(), begun

    def tick(epoch: int, samples: int) -> None:
        nonlocal since, seen
        now = time.monotonic()
        line = {
            "run": run,
            "epoch": epoch,
            "from": seen,
            "samples": samples,
            "seconds": round(now - since, 3),
        }
        add(store.log_path(*label.split()), line)
        since, seen = now, samples

    yield tick


def machine(where: torch.device) -> str:
    """What this run is trained on, by all of its processes."""
    if where.type != "cuda":
        return f"CPU, {distributed.world() * torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(where)
    return f"{distributed.world()} x {name}" if distributed.world() > 1 else name


def made(file: Path, run: str, encoder: str, machine: str) -> None:
    """Say that this encoder came of the run."""
    add(file, {"run": run, "encoder": encoder, "machine": machine})


def add(file: Path, line: dict[str, Any]) -> None:
    if distributed.rank():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%S")} | line) + "\n")
