"""What code each stage runs, found by following imports: `python -m stages.source` writes it down before DVC looks.

A dependency that somebody has to remember is a stale result when somebody forgets. So dvc.yaml names one file a stage,
artifacts/code/..., and this fills it: a line for every file of the project that can change that stage's numbers, with
a digest of what Python makes of it. Comments, docstrings and layout are not in the digest: to explain something costs
nobody a night's training.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import modalities
from stages import store

ROOT = Path(modalities.__file__).parent.parent
OWN = ("stages.", "modalities.")
MEMORY = store.SCRATCH / "code.json"
Seen = tuple[str, list[str], str]  # docstring, the project's files that may be imported, digest
USED: dict[str, Seen] = {}
# What cannot change a number: these find paths, check keys, print.
INERT = (
    "stages/__init__.py",
    "stages/cli.py",
    "stages/store.py",
    "stages/clock.py",
    "stages/code.py",
    "modalities/__init__.py",
    "modalities/common/progress.py",
)


def entries(params: dict[str, Any], modality: str) -> Iterator[tuple[str, list[str]]]:
    """(name, files where it starts) of every stage of a modality: its command, and what that looks up by name."""
    here, block = f"modalities/{modality}", params[modality]
    yield "ingest", ["stages/ingest.py", f"{here}/ingest.py"]
    for name in params["run"].get(modality) or ():
        for stage in ("build", "pretrain"):
            yield f"{stage}/{name}", method(modality, stage, name)
    judges = (
        ("probe", "modalities/probes"),
        ("transfer", f"{here}/transfers"),
        ("baselines", f"{here}/baselines"),
    )
    for stage, folder in judges:
        named = [f"{folder}/{name}.py" for name in sorted(block.get(f"{stage.rstrip('s')}s") or ())]
        yield stage, [f"stages/{stage}.py", f"{here}/corpus.py", f"{here}/encoders.py", *named]


def method(modality: str, stage: str, name: str) -> list[str]:
    """Where `build` or `pretrain` of one method starts."""
    here = f"modalities/{modality}"
    return [f"stages/{stage}.py", f"{here}/corpus.py", f"{here}/encoders.py", f"{here}/pretexts/{name}.py"]


def ends() -> Iterator[tuple[str, list[str]]]:
    """The same of the stages that all modalities meet in."""
    yield (
        "report",
        ["stages/report.py", *(f"modalities/{name}/corpus.py" for name in modalities.modalities())],
    )
    yield "export", ["stages/export.py"]


def lines(starts: Iterable[str]) -> list[str]:
    """A path and a digest for each of all that is reached from these files, in the order of paths."""
    return [f"{path} {known(path).digest}" for path in sorted(reached(starts)) if path not in INERT]


def summary(starts: Iterable[str]) -> str:
    """16 hex digits of those lines."""
    return hashlib.sha256("\n".join(lines(starts)).encode()).hexdigest()[:16]


def reached(starts: Iterable[str]) -> set[str]:
    """These files, of those that exist, and all of the project that they import, directly or through others."""
    todo = [path for path in starts if (ROOT / path).exists()]
    seen = set(todo)
    while todo:
        here = todo.pop()
        for path in known(here).imports if here not in INERT else ():
            if path not in seen:
                seen.add(path)
                todo.append(path)
    return seen


def captions() -> list[str]:
    """A path and the docstring of every method and task: the report says of each what its file opens with."""
    kinds = ("pretexts", "transfers", "baselines", "probes")
    files = sorted(path for kind in kinds for path in (ROOT / "modalities").rglob(f"{kind}/*.py"))
    paths = [path.relative_to(ROOT).as_posix() for path in files]
    return [f"{path} {' '.join(known(path).said.split())}" for path in paths]


class Known(NamedTuple):
    said: str  # the docstring of the module
    imports: tuple[str, ...]  # the project's files that it imports, also inside functions and for types
    digest: str  # 16 hex digits of its syntax tree without any docstring


@cache
def known(path: str) -> Known:
    """What there is to know of a file. Packages hold no code. Raises SyntaxError, naming the file."""
    text = (ROOT / path).read_text()
    key = hashlib.sha256(f"{_maker()}\0{text}".encode()).hexdigest()
    said, names, digest = USED[key] = _memory().get(key) or _read(text, path)
    return Known(said, tuple(name for name in names if (ROOT / name).exists()), digest)


def _read(text: str, path: str) -> Seen:
    tree = ast.parse(text, path)
    said, names = ast.get_docstring(tree) or "", set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                node.body = body[1:]  # type: ignore[attr-defined]
    own = [f"{name.replace('.', '/')}.py" for name in sorted(names) if name.startswith(OWN)]
    return said, own, hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


@cache
def _maker() -> str:
    """What makes a Seen of a text: another Python, or another version of this file, may find something else."""
    return f"{sys.version}\0{Path(__file__).read_text()}"


@cache
def _memory() -> dict[str, Seen]:
    """What the last run has seen, by text; nothing where it left nothing, or something else."""
    try:
        found = json.loads(MEMORY.read_text()).items()
        return {key: (said, list(names), digest) for key, (said, names, digest) in found}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember() -> None:
    """Leave what this run has seen for the next: to parse all files takes longer than anything else in `source`."""
    store.write_json(MEMORY, USED)
