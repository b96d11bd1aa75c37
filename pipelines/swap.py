"""Lay overlays over params.yaml: `python -m pipelines.swap digits` or `python -m pipelines.swap params/digits.yaml`.

An overlay is a few keys of params.yaml under the same names. Maps merge; lists and single values replace; `{}` empties
a map. params.yaml keeps its comments and layout; `git diff params.yaml` shows what was swapped, `git checkout
params.yaml` takes it back.

To run an overlay beside the present settings instead, as an experiment of DVC's:

    python -m pipelines.swap --options digits | xargs dvc exp run --queue
"""

import argparse
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modalities
from stages import cli, store
from stages.check import problems

PARAMS = Path("params.yaml")
OVERLAYS = Path("params")
Keys = tuple[str, ...]
Change = tuple[Keys, Any, Any]  # (where, old value, new value)


class Absent:
    """The old value of a key that is new, and the new value of one that goes."""

    def __str__(self) -> str:
        return "(nothing)"


ABSENT = Absent()


def merge(params: Any, overlay: Any, source: str) -> None:
    """Lay an overlay over params, both as ruamel.yaml read them. `source` is the overlay's file, for errors.

    Raises ValueError for a key that params.yaml does not know, with the nearest that it does.
    """
    if not isinstance(overlay, dict):
        raise ValueError(f"{source} holds no keys; write them as in params.yaml")
    _merge(params, overlay, (), params, source)


def _merge(target: Any, overlay: Any, where: Keys, params: Any, source: str) -> None:
    for key, value in overlay.items():
        here = (*where, str(key))
        known = _known(target, here, params)
        if key not in known:
            raise ValueError(f"{source}: unknown key {'.'.join(here)}{cli.nearest(str(key), known)}")
        if key not in target:
            target[key] = value
            continue
        present = target[key]
        if isinstance(present, dict) != isinstance(value, dict):
            kind = "a map of keys" if isinstance(present, dict) else "one value"
            raise ValueError(f"{source}: {'.'.join(here)} is {_plain(value)!r}; params.yaml has {kind} there")
        if not isinstance(value, dict):
            target[key] = value
        elif value:
            _merge(present, value, here, params, source)
        else:
            for name in list(present):
                del present[name]


def _known(target: Any, here: Keys, params: Any) -> list[str]:
    """Which keys may stand beside the last of `here`: those of params.yaml, names that have a file, names of sets."""
    have = [str(key) for key in target]
    match here:
        case (_,):
            return have + modalities.modalities()
        case ("run", _):
            return have + modalities.modalities()
        case (modality, ("pretexts" | "transfers") as folder, _):
            return have + modalities.names(modality, folder)
        case (_, "probes", _):
            return have + modalities.names("probes")
        case (_, "ingest", "tasks", *_):  # sets go by any name
            return [*have, here[-1]]
        case (modality, "pretexts", _, "train", _):
            return have + list(params[modality].get("train", {}))
    return have


def changes(old: Any, new: Any, where: Keys = ()) -> Iterator[Change]:
    """What differs, leaf by leaf, in the order of the file."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield where, old, new
        return
    for key in [*old, *(key for key in new if key not in old)]:
        yield from changes(old.get(key, ABSENT), new.get(key, ABSENT), (*where, str(key)))


def option(change: Change) -> str:
    """A change as `-S ...`, quoted for a shell and for xargs, in the override grammar that `dvc exp run` reads."""
    where, old, new = change
    key = ".".join(where)
    if new is ABSENT:
        return f"-S {shlex.quote('~' + key)}"
    sign = "+" if old is ABSENT else ""
    return f"-S {shlex.quote(f'{sign}{key}={_override(new)}')}"


def _override(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_override(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_override, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if re.fullmatch(r"[A-Za-z_][\w:/.-]*", value) and value.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    ):
        return str(value)
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


def overlay_path(name: str) -> Path:
    """The file of an overlay given by name or by path. Raises ValueError with the nearest where there is none."""
    for path in (Path(name), OVERLAYS / f"{name}.yaml"):
        if path.is_file():
            return path
    raise modalities.unknown("overlay", Path(name).stem, [path.stem for path in OVERLAYS.glob("*.yaml")])


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = (
        YAML()
    )  # the round-trip parser: it keeps comments, quotes, flow style and the way numbers are written
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)  # how params.yaml is laid out
    return yaml


def _plain(value: Any) -> Any:
    """Without the comments and the forms of numbers that the round-trip parser keeps."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def swapped(names: list[str]) -> tuple[str, list[Change]]:
    """The text of params.yaml with these overlays laid over it in turn, and what changes. Writes nothing.

    Raises ValueError where an overlay has an unknown key, or the merged settings do not pass `stages.check`.
    """
    from ruamel.yaml.error import YAMLError

    old = cli.load(PARAMS)
    merged = _yaml().load(PARAMS)
    for path in map(overlay_path, names):
        try:
            overlay = _yaml().load(path)
        except YAMLError as error:
            raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
        merge(merged, overlay, str(path))
    new = _plain(merged)
    wrong = problems(new)
    if wrong:
        raise ValueError(
            f"nothing written: with {', '.join(names)} the settings are wrong: {'; '.join(wrong)}"
        )
    text = io.StringIO()
    _yaml().dump(merged, text)
    return text.getvalue(), list(changes(old, new))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.swap", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("overlays", nargs="+", metavar="OVERLAY", help="a name in params/, or a file")
    parser.add_argument(
        "--options", action="store_true", help="print options for `dvc exp run`; write nothing"
    )
    parsed = parser.parse_args(arguments)
    with cli.reporting():
        text, changed = swapped(parsed.overlays)
        if parsed.options:
            print("\n".join(map(option, changed)))
            return
        if not changed:
            print(f"{PARAMS} already says all of this")
            return
        with store.writing(PARAMS) as unfinished:
            unfinished.write_text(text)
        for where, before, after in changed:
            print(f"{'.'.join(where)}: {_plain(before)} -> {_plain(after)}")


if __name__ == "__main__":
    main(sys.argv[1:])
