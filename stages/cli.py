"""What every stage's command line does: argv + params.yaml -> one function call -> metrics JSON.

Each block of params.yaml holds the keyword arguments of one function, and that function's signature is the block's
schema: a key it lacks, a key it has not been given and a value of the wrong type are errors of one line.
"""

import difflib
import inspect
import os
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modalities
from stages import store

Params = dict[str, Any]
TRACEBACK = store.SCRATCH / "traceback.txt"


@dataclass(frozen=True)
class Job:
    """What one stage works on. `params` is the modality's block; a method's build, model and train stand beside."""

    params: Params
    modality: str
    method: str = ""
    seed: int = 0

    def path(self, kind: Callable[..., Path], *rest: str) -> Path:
        """`job.path(store.model_path)` and the like."""
        have = {"modality": self.modality, "method": self.method, "seed": self.seed}
        return kind(*(have[name] for name in inspect.signature(kind).parameters if name in have), *rest)

    def call(self, function: Callable[..., Any], block: str, *args: Any, **given: Any) -> Any:
        """`function(*args, **given, **params[block])`, once the block has been checked against the signature."""
        where = f"{self.modality}.{block}"
        if block in ("build", "model", "train") and self.method:
            where = f"{self.modality}.pretexts.{self.method}.{block}"
        params = self.params
        for key in block.split("."):
            params = params[key]
        check(function, params, where, given)
        return function(*args, **given, **params)


def load(path: Path = Path("params.yaml")) -> Params:
    """params.yaml, read by the parser that DVC uses, so both see the same numbers."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.exists():
        raise FileNotFoundError(f"no {path} here; run this from the project's root")
    try:
        params = YAML(typ="safe").load(path)
    except YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(params, dict):
        raise ValueError(f"{path} holds no keys")
    return params


def nearest(name: str, have: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, have, n=1)
    return f"; did you mean {near[0]}?" if near else f"; have {', '.join(sorted(have)) or 'none'}"


def check(function: Callable[..., Any], params: Any, where: str, given: Sequence[str] | Params = ()) -> None:
    """Raise ValueError for the first key of `params` that is not a keyword of `function`, is missing or mistyped."""
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(params, dict):
        raise ValueError(f"params.yaml: {where} is {params!r}; it needs a block of keys, {{}} for none")
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    keywords = {
        p.name: p
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in given
    }
    for key in params:
        if key not in keywords:
            raise ValueError(f"params.yaml: unknown key {where}.{key}{nearest(str(key), list(keywords))}")
    for key, parameter in keywords.items():
        if key not in params and parameter.default is parameter.empty:
            raise ValueError(f"params.yaml: {where}.{key} is missing")
        if key in params and key in hints:
            try:
                TypeAdapter(hints[key]).validate_python(params[key], strict=False)
            except ValidationError as error:
                why = error.errors()[0]["msg"]
                raise ValueError(
                    f"params.yaml: {where}.{key} is {params[key]!r}; {why[0].lower()}{why[1:]}"
                ) from None


def block(params: Params, *keys: str) -> Any:
    """A block of params.yaml, or the one-line error that names the key that is not there."""
    for depth, key in enumerate(keys):
        if not isinstance(params, dict) or key not in params:
            have = list(params) if isinstance(params, dict) else []
            raise ValueError(f"params.yaml: no {'.'.join(keys[: depth + 1])}{nearest(key, have)}")
        params = params[key]
    return params


def job(params: Params, modality: str, method: str = "", seed: int | None = None) -> Job:
    """The job of one stage: a method's `train` is laid over its modality's. The seed is `build_seed` by default."""
    if modality not in modalities.modalities():
        raise modalities.unknown("modality", modality, modalities.modalities())
    found = dict(block(params, modality))
    if method:
        mine = block(params, modality, "pretexts", method)
        for key in ("build", "model", "train"):
            if key not in mine:
                raise ValueError(
                    f"params.yaml: {modality}.pretexts.{method}.{key} is missing; write {key}: {{}} for none"
                )
        extra = set(mine) - {"build", "model", "train"}
        if extra:
            raise ValueError(
                f"params.yaml: unknown key {modality}.pretexts.{method}.{min(extra)}; have build, model, train"
            )
        found |= {"build": mine["build"], "model": mine["model"], "train": found["train"] | mine["train"]}
    seed = block(params, "build_seed") if seed is None else seed
    return Job(params=found, modality=modality, method=method, seed=seed)


def main(stage: Callable[[Job], dict[str, Any] | None], takes: Sequence[str]) -> None:
    """Run one stage from argv. What it returns becomes its metrics file; what goes wrong, one line and an exit code.

    Exit codes: 2 for a wrong command line or setting, 1 for anything else.
    """
    name = stage.__name__
    if len(sys.argv) != len(takes) + 1:
        print(f"usage: python -m stages.{name} {' '.join(word.upper() for word in takes)}", file=sys.stderr)
        sys.exit(2)
    with reporting():
        words: dict[str, Any] = dict(zip(takes, sys.argv[1:], strict=True))
        if "seed" in words:
            if not words["seed"].isdigit():
                raise ValueError(f"the seed is {words['seed']}; use a whole number")
            words["seed"] = int(words["seed"])
        here = job(load(), **words)
        metrics = stage(here)
        if metrics is not None:
            store.write_json(here.path(store.metrics_path, name), metrics)


class reporting:
    """Turns an error into one line on stderr and an exit code; its traceback goes to .scratch/traceback.txt."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, SystemExit):
            return
        if isinstance(error, KeyboardInterrupt):
            print(
                "interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr
            )
            sys.exit(130)
        TRACEBACK.parent.mkdir(exist_ok=True)
        TRACEBACK.write_text("".join(traceback.format_exception(error)))
        if "GROUNDWORK_TRACEBACK" in os.environ:
            return
        text = " ".join(str(error).split()) or kind.__name__ if kind else ""
        if not isinstance(error, (ValueError, OSError)):
            text = f"{type(error).__name__}: {text}"
        print(f"groundwork: {text} (traceback: {TRACEBACK})", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)
