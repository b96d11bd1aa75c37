"""Check all of params.yaml before anything runs: `python -m stages.check`.

A slip found here costs seconds; found by the last stage of a night's run, it costs the night. Prints one line an
error and exits with 2 where there is any.
"""

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import modalities
from stages import cli
from stages.cli import Params

TOP = ("seeds", "build_seed", "run", "schedule")
BLOCKS = ("ingest", "encoder", "train", "pretexts", "probes", "transfers", "baselines")
# What stages hand to the functions beside the block: these are not keys of params.yaml.
GIVEN_TO_FIT = ("seed", "scratch", "label")
GIVEN = ("seed",)

# The five fields of a cron line, with the names that two of them may use instead of numbers.
CRON = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
WORD = r"(?:\*|\d+|[A-Za-z]{3})"
FIELD = re.compile(rf"{WORD}(?:-{WORD})?(?:/\d+)?(?:,{WORD}(?:-{WORD})?(?:/\d+)?)*")


def problems(params: Params) -> list[str]:
    """Every error of the settings, one line each. Imports the methods that `run` lists."""
    return [*_top(params), *(line for name in _present(params) for line in _modality(params, name))]


def schedule(*, cron: str, retries: int, retry_delay: float) -> None:
    """The `schedule` block: when `make serve` refreshes (UTC), how often a failed run is tried again, after how long.

    Raises ValueError where a value makes no sense.
    """
    fields = cron.split()
    if len(fields) != len(CRON):
        raise ValueError(
            f'params.yaml: schedule.cron is "{cron}"; use five fields: minute hour day month weekday'
        )
    for field, (name, low, high) in zip(fields, CRON, strict=True):
        numbers = [int(number) for number in re.findall(r"(?<!/)\b\d+", field)]
        if not FIELD.fullmatch(field) or any(not low <= number <= high for number in numbers):
            raise ValueError(
                f'params.yaml: schedule.cron is "{cron}"; its {name} is "{field}": use {low} to {high}, '
                "* for any, or a list, range or step of them"
            )
    for name, value in (("retries", retries), ("retry_delay", retry_delay)):
        if value < 0:
            raise ValueError(f"params.yaml: schedule.{name} is {value}; use 0 or more")


def _present(params: Params) -> list[str]:
    return [name for name in modalities.modalities() if isinstance(params.get(name), dict)]


def _said(check: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """What one check complains of: nothing, or its line."""
    try:
        check(*args, **kwargs)
    except ValueError as error:
        return [" ".join(str(error).split())]
    return []


def _top(params: Params) -> Iterator[str]:
    have = [*TOP, *modalities.modalities()]
    for key in params:
        if key not in have:
            yield f"params.yaml: unknown key {key}{cli.nearest(str(key), have)}"
    for key in have:
        if key not in params:
            yield f"params.yaml: {key} is missing"
    if "seeds" in params:
        yield from _said(_seeds, params["seeds"])
    if "build_seed" in params and not _whole(params["build_seed"]):
        yield f"params.yaml: build_seed is {params['build_seed']!r}; use a whole number, 0 or more"
    if "schedule" in params:
        lines = _said(cli.check, schedule, params["schedule"], "schedule")
        yield from lines or _said(schedule, **params["schedule"])
    if "run" in params:
        yield from _run(params["run"])


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _seeds(seeds: Any) -> None:
    if not isinstance(seeds, list) or not seeds or not all(map(_whole, seeds)):
        raise ValueError(f"params.yaml: seeds is {seeds!r}; use a list of whole numbers, [17] for one")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"params.yaml: seeds is {seeds!r}; each makes one run, so list it once")


def _run(run: Any) -> Iterator[str]:
    if not isinstance(run, dict):
        yield f"params.yaml: run is {run!r}; use a list of methods for each modality, `image: []` for none"
        return
    for name, methods in run.items():
        if name not in modalities.modalities():
            yield f"params.yaml: run: {modalities.unknown('modality', str(name), modalities.modalities())}"
        elif not isinstance(methods, list) or not all(isinstance(method, str) for method in methods):
            yield f"params.yaml: run.{name} is {methods!r}; use a list of methods, [] for none"
        else:
            for method in sorted({method for method in methods if methods.count(method) > 1}):
                yield f"params.yaml: run.{name} lists {method} more than once"
    # DVC expands the graph of every modality that is there, and a list it does not find is an error of many lines.
    for name in modalities.modalities():
        if name not in run:
            yield f"params.yaml: run.{name} is missing; write {name}: [] for none"


def _modality(params: Params, modality: str) -> Iterator[str]:
    """The blocks of one modality against the signatures of the functions they are for."""
    block = params[modality]
    for key in block:
        if key not in BLOCKS:
            yield f"params.yaml: unknown key {modality}.{key}{cli.nearest(str(key), BLOCKS)}"
    missing = [key for key in BLOCKS if key not in block]
    yield from (f"params.yaml: {modality}.{key} is missing; {{}} for none" for key in missing)
    if missing:
        return
    from stages import loop

    yield from _ingest(block["ingest"], modality)
    yield from _said(cli.check, modalities.encoder(modality), block["encoder"], f"{modality}.encoder")
    train = _said(cli.check, loop.fit, block["train"], f"{modality}.train", GIVEN_TO_FIT)
    yield from train
    run = params.get("run")
    methods = run.get(modality) if isinstance(run, dict) else None
    for method in methods if isinstance(methods, list) else []:
        yield from _method(params, modality, str(method), None if train else loop.fit)
    yield from _tasks(block["probes"], f"{modality}.probes", modalities.probe)
    yield from _tasks(
        block["transfers"], f"{modality}.transfers", lambda name: modalities.transfer(modality, name)
    )
    yield from _tasks(
        block["baselines"], f"{modality}.baselines", lambda name: modalities.baseline(modality, name)
    )


def _ingest(block: Any, modality: str) -> Iterator[str]:
    """`source` comes first in every `ingest`, not by name, so it is looked at apart."""
    where = f"{modality}.ingest"
    if not isinstance(block, dict) or "source" not in block:
        yield f"params.yaml: {where}.source is missing; name a folder or a data set"
        return
    if not isinstance(block["source"], str) or not block["source"].strip():
        yield f"params.yaml: {where}.source is {block['source']!r}; name a folder or a data set"
    rest = {key: value for key, value in block.items() if key != "source"}
    yield from _said(cli.check, modalities.ingest(modality), rest, where)


def _method(params: Params, modality: str, method: str, fit: Callable[..., Any] | None) -> Iterator[str]:
    """A listed method's build, model and train. `fit` is None where the train block below it is already wrong."""
    where = f"{modality}.pretexts.{method}"
    try:
        pretext = modalities.pretext(modality, method)
        job = cli.job(params, modality, method, seed=0)
    except ValueError as error:
        text = str(error)
        yield text if text.startswith("params.yaml") else f"params.yaml: run.{modality}: {text}"
        return
    yield from _said(cli.check, pretext.build, job.params["build"], f"{where}.build", GIVEN)
    yield from _said(cli.check, pretext, job.params["model"], f"{where}.model")
    if fit:
        yield from _said(cli.check, fit, job.params["train"], f"{where}.train", GIVEN_TO_FIT)


def _tasks(tasks: Any, where: str, lookup: Callable[[str], Callable[..., Any]]) -> Iterator[str]:
    if not isinstance(tasks, dict):
        yield f"params.yaml: {where} is {tasks!r}; it needs a block of names, {{}} for none"
        return
    for name, keywords in tasks.items():
        try:
            task = lookup(str(name))
        except ValueError as error:
            yield f"params.yaml: {where}: {error}"
        else:
            yield from _said(cli.check, task, keywords, f"{where}.{name}", GIVEN)


def main() -> None:
    with cli.reporting():
        found = problems(cli.load())
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(2 if found else 0)


if __name__ == "__main__":
    main()
