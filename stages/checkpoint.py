"""Unfinished runs: where they lie, how they are written and found again. Read with torch's weights-only loader."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modalities.base import Pretext
from modalities.common import distributed
from stages import store

Row = dict[str, float]


@dataclass
class Run:
    """What moves while training: a checkpoint is this and the states of the pretext and its optimizers."""

    step: int = 0
    rows: list[Row] = field(default_factory=list)  # one an epoch
    sums: dict[str, Tensor] = field(default_factory=dict)  # of this epoch's metrics
    counted: int = 0  # steps in the sums


def scratch(*parts: Any) -> Path:
    """Where an unfinished run lies: found again by the same settings, inputs and code, and by nothing else."""
    root = Path(store.__file__).parents[1]
    code = store.digest(
        *sorted(p for folder in ("stages", "modalities") for p in (root / folder).rglob("*.py"))
    )
    return store.SCRATCH / hashlib.sha256(repr((parts, code)).encode()).hexdigest()[:16]


def keep(folder: Path, pretext: Pretext, optimizers: list[torch.optim.Optimizer], run: Run) -> None:
    """Write the checkpoint under a temporary name and rename it: a kill leaves the last one or this one."""
    if distributed.rank():
        return
    state = {
        "pretext": pretext.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "run": {**asdict(run), "sums": run.sums},
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "next.pt")
    (folder / "next.pt").replace(folder / "last.pt")


def resume(
    folder: Path, pretext: Pretext, optimizers: list[torch.optim.Optimizer], where: torch.device
) -> Run:
    """The state of an unfinished run, put in place; a fresh run where there is none."""
    if not (folder / "last.pt").exists():
        return Run()
    state = torch.load(folder / "last.pt", map_location=where, weights_only=True)
    pretext.load_state_dict(state["pretext"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Run(**state["run"])
