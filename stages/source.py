"""Notice that raw data or code has changed: `python -m stages.source`.

DVC runs this every time, and other stages only when what it wrote has changed. A source may be any folder, zip or data
set's name, so none can be a dependency that dvc.yaml writes down: of it names, sizes and times are looked at. What code
a stage runs is found by stages/code.py.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modalities
from stages import cli, code, store


def source(params: cli.Params) -> None:
    """Write artifacts/sources, how many files a modality names, how large, a digest of names, sizes and times;
    and artifacts/code, a file a stage.

    A modality of which `run` lists no method is not wanted: then nothing of it is looked at, read or fetched.
    """
    for modality in modalities.modalities():
        wanted = bool(cli.block(params, "run").get(modality))
        ingest = cli.block(params, modality, "ingest") if wanted else {}
        seen, files, size = hashlib.sha256(), 0, 0
        for name, stat in listing(*map(Path, words(ingest))):
            seen.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape"))
            files, size = files + 1, size + stat.st_size
        found = {
            "source": ingest.get("source"),
            "files": files,
            "bytes": size,
            "state": seen.hexdigest()[:16],
        }
        store.write_json(store.source_path(modality), found | {"wanted": wanted})
        for name, starts in code.entries(params, modality):
            store.write_lines(store.code_path(modality, name), code.lines(starts))
    store.write_lines(store.code_path("captions"), code.captions())
    for name, starts in code.ends():
        store.write_lines(store.code_path(name), code.lines(starts))
    code.remember()


def words(value: Any) -> Iterator[str]:
    """Every word in a block that may be a path: the source, a table of labels, further sets."""
    if isinstance(value, dict):
        for inside in value.values():
            yield from words(inside)
    elif isinstance(value, str) and value:
        yield value
        if path := value.partition(":")[2]:  # rgbd:PATH
            yield path


def listing(*paths: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file at or below these paths that can be looked at, in the order of names; a name of no path has none."""
    known: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_file():
            yield str(path), path.stat()
            continue
        for folder, inside, names in os.walk(path, followlinks=True):
            here = Path(folder).stat()
            if (here.st_dev, here.st_ino) in known:  # links in a circle
                inside.clear()
                continue
            known.add((here.st_dev, here.st_ino))
            inside.sort()
            for name in sorted(names):
                file = Path(folder, name)
                if file.exists():
                    yield str(file), file.stat()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print("usage: python -m stages.source", file=sys.stderr)
        sys.exit(2)
    with cli.reporting():
        source(cli.load())
