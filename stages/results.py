"""What the runs that `run` and `seeds` list left on disk, and which of it may be counted.

Folders of other methods and seeds are never opened: they are what an earlier params.yaml left.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from stages import cli, store

# Worst first: what is said of a method is the worst that is true of one of its seeds.
STATES = ("failed or not run", "failed", "stale", "not judged yet", "")


class Measure(NamedTuple):
    """One column of a leaderboard: the stage whose file holds it, the task, and the metric of it."""

    stage: str  # pretrain, probe (frozen encoder) or transfer (the encoder itself)
    task: str
    metric: str


@dataclass(frozen=True)
class Run:
    """One method and seed. `scores` and `chances` hold only what may be counted.

    A baseline, which has no encoder, is a run too: one of `build_seed`.
    """

    modality: str
    method: str
    seed: int
    baseline: bool = False
    about: dict[str, Any] = field(default_factory=dict)  # encoder.json; empty where there is no encoder
    digest: str = ""  # of encoder.safetensors
    history: list[dict[str, str]] = field(default_factory=list)  # history.csv, one dict an epoch
    scores: dict[Measure, float] = field(default_factory=dict)
    chances: dict[Measure, float] = field(default_factory=dict)
    # Deviations over draws of labels, within this seed.
    spreads: dict[Measure, float] = field(default_factory=dict)
    # By task, class, and what it was called: how often.
    confusions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)  # (one of STATES, why)

    @property
    def state(self) -> str:
        return min((state for state, _ in self.problems), key=STATES.index, default="")

    @property
    def samples(self) -> int | None:
        found = self.about.get("params", {}).get("train", {}).get("samples")
        return None if found is None else int(found)


def read(params: cli.Params) -> list[Run]:
    """Every run that params.yaml lists, in its order.

    Raises ValueError where it lists none and FileNotFoundError where none of them has left an encoder.
    """
    wanted = [
        (modality, method, seed)
        for modality, methods in cli.block(params, "run").items()
        for method in methods or []
        for seed in cli.block(params, "seeds")
    ]
    if not wanted:
        raise ValueError("params.yaml: `run` and `seeds` list nothing; name at least one method and one seed")
    runs = [read_run(params, *names) for names in wanted]
    for modality in dict.fromkeys(run.modality for run in runs):
        runs += read_baselines(params, modality, [run for run in runs if run.modality == modality])
    if not any(run.about for run in runs):
        raise FileNotFoundError(
            f"none of the {len(wanted)} runs that params.yaml lists is under {store.ARTIFACTS}/models; "
            "run `dvc repro` first"
        )
    return runs


def read_run(params: cli.Params, modality: str, method: str, seed: int) -> Run:
    folder = store.model_path(modality, method, seed)
    if not (folder / "encoder.json").exists() or not (folder / "encoder.safetensors").exists():
        return Run(modality, method, seed, problems=[("failed or not run", "no encoder")])
    run = Run(
        modality,
        method,
        seed,
        about=store.read_json(folder / "encoder.json"),
        digest=store.digest(folder / "encoder.safetensors"),
        history=_history(folder / "history.csv"),
    )
    run.problems.extend(_unfit(run, params))
    if not run.problems:  # else its numbers are true of nothing that params.yaml now describes
        for stage in ("pretrain", "probe", "transfer"):
            if stage != "transfer" or params[modality].get("transfers"):
                _read_scores(run, stage)
    return run


def read_baselines(params: cli.Params, modality: str, runs: Sequence[Run]) -> Iterator[Run]:
    """A run for each baseline of params.yaml. Its tasks belong to the stage in which the encoders have them."""
    path = store.baselines_path(modality)
    found = store.read_json(path) if path.exists() else {}
    stages = {measure.task: measure.stage for run in runs for measure in run.scores}
    for name in params[modality].get("baselines") or {}:
        run = Run(modality, name, params["build_seed"], baseline=True)
        if name not in found:
            run.problems.append(("failed or not run", f"not in {path.name}"))
        for measure, value, chance in scores("", found.get(name, {})):
            measure = measure._replace(stage=stages.get(measure.task, "transfer"))
            if _broken(value):
                run.problems.append(("failed", f"{measure.task} {measure.metric} is {value}"))
                continue
            run.scores[measure] = value
            if chance is not None:
                run.chances[measure] = chance
        yield run


def _history(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _unfit(run: Run, params: cli.Params) -> Iterator[tuple[str, str]]:
    """Why nothing about this encoder may be counted.

    One outlives a change of params.yaml or of the corpus when the stage before it failed under `dvc repro -k`.
    """
    now = cli.job(params, run.modality, run.method, run.seed).params
    for block, then in run.about.get("params", {}).items():
        if block in now and now[block] != then:
            yield "stale", f"trained with another `{block}` than params.yaml now has"
    corpus = store.corpus_path(run.modality) / "meta.json"
    if not corpus.exists():
        yield "stale", f"its corpus is gone; the stage ingest-{run.modality} may have failed"
    elif store.read_json(corpus).get("fingerprint") != run.about.get("corpus"):
        yield "stale", "trained on another corpus than the one there is now"
    path = store.metrics_path(run.modality, run.method, run.seed, "pretrain")
    loss = store.read_json(path).get("loss") if path.exists() and run.samples != 0 else None
    if _broken(loss):
        yield "failed", f"the loss ended as {loss}"


def _read_scores(run: Run, stage: str) -> None:
    """Add what one stage's metrics file says, or the reason why it does not count."""
    path = store.metrics_path(run.modality, run.method, run.seed, stage)
    if not path.exists():
        if stage != "pretrain":
            run.problems.append(("not judged yet", f"no {path.name}"))
        return
    found = store.read_json(path)
    if stage != "pretrain" and found.get("encoder") != run.digest:
        run.problems.append(("stale", f"{path.name} judges another encoder"))
        return
    told = {
        task: block["confusion"]
        for task, block in found.items()
        if isinstance(block, dict) and "confusion" in block
    }
    run.confusions.update(told)
    for measure, value, chance in scores(stage, found):
        if _broken(value):
            run.problems.append(("failed", f"{measure.task} {measure.metric} is {value}"))
            continue
        run.scores[measure] = value
        if chance is not None:
            run.chances[measure] = chance
        spread = found[measure.task].get(f"{measure.metric}.spread") if stage != "pretrain" else None
        if spread is not None:
            run.spreads[measure] = spread


def scores(stage: str, found: dict[str, Any]) -> Iterator[tuple[Measure, float, float | None]]:
    """(measure, value, what guessing would score or None) of one metrics file.

    Pretraining's file is flat and is the task `pretext`; of it only what has a chance beside it is a score, the rest
    describes the run. The other files hold a block a task.
    """
    if stage == "pretrain":
        scored = [name for name in found if f"{name}.chance" in found]
        tasks = {"pretext": {key: found[key] for name in scored for key in (name, f"{name}.chance")}}
    else:
        tasks = {name: block for name, block in found.items() if isinstance(block, dict)}
    for task, block in tasks.items():
        for metric, value in block.items():
            if isinstance(value, int | float) and not metric.endswith((".chance", ".spread")):
                yield Measure(stage, task, metric), float(value), block.get(f"{metric}.chance")


def _broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
