"""Lookup by name: the file tree is the registry.

`modalities/image/pretexts/rotation.py` *is* the method `rotation` of the modality `image`.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modalities.base import Corpus, Encoder, Pretext

HERE = Path(__file__).parent


def unknown(kind: str, name: str, have: Iterable[str]) -> ValueError:
    """The one-line error for a name that does not exist, with the nearest that does."""
    names = sorted(have)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ValueError(f'no {kind} "{name}"; have {", ".join(names) or "none"}{hint}')


def names(*folders: str) -> list[str]:
    """What a folder under modalities/ offers: its modules, by file name."""
    return sorted(p.stem for p in HERE.joinpath(*folders).glob("*.py") if not p.stem.startswith("_"))


def modalities() -> list[str]:
    return sorted(p.parent.name for p in HERE.glob("*/corpus.py"))


def _module(kind: str, *path: str) -> ModuleType:
    if path[-1] not in names(*path[:-1]):
        raise unknown(kind, path[-1], names(*path[:-1]))
    return importlib.import_module(".".join(("modalities", *path)))


def _of(modality: str, file: str) -> ModuleType:
    if modality not in modalities():
        raise unknown("modality", modality, modalities())
    return importlib.import_module(f"modalities.{modality}.{file}")


def ingest(modality: str) -> Callable[..., None]:
    """`ingest(source, out, **params)`: reads every file once and writes a corpus folder."""
    found: Callable[..., None] = _of(modality, "ingest").ingest
    return found


def corpus(modality: str) -> Callable[[Path], "Corpus"]:
    """`corpus(path)` opens what ingest wrote."""
    found: Callable[[Path], Corpus] = _of(modality, "corpus").corpus
    return found


def encoder(modality: str) -> Callable[..., "Encoder"]:
    """`encoder(**params)` makes the shared trunk of this modality, untrained."""
    found: Callable[..., Encoder] = _of(modality, "encoders").encoder
    return found


def rebuild(modality: str, spec: dict[str, Any]) -> "Encoder":
    """An untrained encoder from the `spec` of another; only classes of `<modality>/encoders.py` are made."""
    from modalities.base import Encoder

    classes = {
        name: found
        for name, found in vars(_of(modality, "encoders")).items()
        if inspect.isclass(found) and issubclass(found, Encoder) and found is not Encoder
    }
    if spec.get("class") not in classes:
        raise unknown(f"{modality} encoder class", str(spec.get("class")), classes)
    arguments = {
        key: rebuild(modality, value) if isinstance(value, dict) and "class" in value else value
        for key, value in spec.items()
        if key != "class"
    }
    made: Encoder = classes[spec["class"]](**arguments)
    return made


def pretext(modality: str, name: str) -> type["Pretext"]:
    """The one Pretext class that a method's file defines."""
    from modalities.base import Pretext

    module = _module(f"pretext of {modality}", modality, "pretexts", name)
    for found in vars(module).values():
        if inspect.isclass(found) and issubclass(found, Pretext) and found.__module__ == module.__name__:
            return found
    raise ValueError(f"modalities/{modality}/pretexts/{name}.py defines no subclass of Pretext")


def probe(name: str) -> Callable[..., dict[str, float]]:
    """`run(features, *, seed, **params)`: frozen features in, numbers out."""
    found: Callable[..., dict[str, float]] = _module("probe", "probes", name).run
    return found


def transfer(modality: str, name: str) -> Callable[..., dict[str, float]]:
    """`run(encoder, corpus, fit, out, *, seed, **params)`: a task that needs the encoder itself."""
    found: Callable[..., dict[str, float]] = _module(
        f"transfer of {modality}", modality, "transfers", name
    ).run
    return found


def baseline(modality: str, name: str) -> Callable[..., dict[str, float]]:
    """`run(corpus, *, seed, **params)`: what a task scores without an encoder, by "task.metric"."""
    found: Callable[..., dict[str, float]] = _module(
        f"baseline of {modality}", modality, "baselines", name
    ).run
    return found
