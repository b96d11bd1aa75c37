"""Where artifacts lie, and how encoders and features are written and read. Nothing here is pickled.

Every output is made under a temporary name and renamed, so a path either holds the whole of it or does not exist.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import modalities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modalities.base import Encoder

ARTIFACTS = Path("artifacts")
SCRATCH = Path(".scratch")
LOGS = Path("logs")
BLOCK = 65_536  # rows of features that are read at a time


def source_path(modality: str) -> Path:
    return ARTIFACTS / "sources" / f"{modality}.json"


def code_path(*name: str) -> Path:
    """The list of files that a stage runs: ("image", "pretrain/rotation") or ("report",)."""
    return ARTIFACTS.joinpath("code", *name[:-1], f"{name[-1]}.txt")


def corpus_path(modality: str) -> Path:
    return ARTIFACTS / "corpus" / modality


def built_path(modality: str, method: str) -> Path:
    return ARTIFACTS / "built" / modality / method


def model_path(modality: str, method: str, seed: int) -> Path:
    return ARTIFACTS / "models" / modality / method / str(seed)


def features_path(modality: str, method: str, seed: int) -> Path:
    return ARTIFACTS / "features" / modality / method / str(seed)


def metrics_path(modality: str, method: str, seed: int, stage: str) -> Path:
    return ARTIFACTS / "metrics" / modality / method / str(seed) / f"{stage}.json"


def shown_path(modality: str, method: str, seed: int) -> Path:
    return ARTIFACTS / "shown" / modality / method / str(seed)


def baselines_path(modality: str) -> Path:
    return ARTIFACTS / "metrics" / modality / "baselines.json"


def log_path(*words: str) -> Path:
    """Where a run's times go: ("image", "rotation", "17"). No output of any stage."""
    return LOGS / f"{'-'.join(words)}.jsonl"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary folder or file name beside `path`, put in its place once the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    _remove(unfinished)
    try:
        yield unfinished
    except BaseException:
        _remove(unfinished)
        raise
    if unfinished.is_dir() or path.is_dir():  # a file takes another's place in one step, a folder cannot
        _remove(path)
    unfinished.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    with writing(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; NaN is read as such. Raises ValueError naming the file where it is anything else."""
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and run `dvc repro`") from None
    if not isinstance(found, dict):
        raise ValueError(
            f"{path} holds a {type(found).__name__}, not an object; delete it and run `dvc repro`"
        )
    return found


def write_lines(path: Path, lines: list[str]) -> None:
    with writing(path) as unfinished:
        unfinished.write_text("".join(f"{line}\n" for line in lines))


def digest(*paths: Path) -> str:
    """16 hex digits of the names and bytes of these files, and of all files in these folders."""
    found = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            found.update(str(file.relative_to(path.parent)).encode())
            with file.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()[:16]


def save_encoder(encoder: "Encoder", folder: Path, **about: Any) -> None:
    """encoder.safetensors and encoder.json (spec, versions, and what else is said about it) in a folder."""
    from safetensors.torch import save_file

    from modalities.base import Encoder

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(state, folder / "encoder.safetensors")
    parameters = sum(p.numel() for p in encoder.parameters())
    known = type(encoder).export is not Encoder.export  # to another library: the export stage asks
    about |= {"spec": encoder.spec, "dim": encoder.dim, "parameters": parameters, "known": known}
    about["versions"] = {name: version(name) for name in ("torch", "torchvision", "numpy")}
    write_json(folder / "encoder.json", about)


def load_encoder(folder: Path) -> "Encoder":
    """The encoder of a folder, in evaluation mode. Raises FileNotFoundError where pretraining has not written one."""
    from safetensors.torch import load_file

    if not (folder / "encoder.json").exists():
        raise FileNotFoundError(f"{folder} holds no encoder; run `dvc repro` first")
    about = json.loads((folder / "encoder.json").read_text())
    encoder = modalities.rebuild(about["modality"], about["spec"])
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.eval()


def save_vectors(vectors: "NDArray[np.float32]", folder: Path) -> None:
    """features.safetensors, (N, D), rows in the order of the corpus."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": vectors}, folder / "features.safetensors")


def load_vectors(folder: Path) -> "NDArray[np.float32]":
    from safetensors.numpy import load_file

    return load_file(folder / "features.safetensors")["vectors"]


def load_rows(folder: Path, rows: "NDArray[np.int64]", count: int) -> "NDArray[np.float32]":
    """(len(rows), D), some rows of the vectors of `count` samples, in any order, without reading all into memory.

    Raises ValueError where there are not `count`: then they are of another corpus.
    """
    import numpy as np
    from safetensors import safe_open

    with safe_open(folder / "features.safetensors", framework="numpy") as file:
        part = file.get_slice("vectors")
        have, dim = part.get_shape()
        if have != count:
            raise ValueError(f"{folder} has features of {have} samples, the corpus {count}; run `dvc repro`")
        found = np.empty((len(rows), dim), np.float32)
        for start in range(0, have, BLOCK):
            inside = np.flatnonzero((rows >= start) & (rows < start + BLOCK))
            if len(inside):
                found[inside] = part[start : min(start + BLOCK, have)][rows[inside] - start]
    return found
