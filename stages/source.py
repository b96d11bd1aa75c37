"""Notice that raw data has changed: `python -m stages.source image`.

DVC runs this every time and `ingest` only when what it wrote has changed: a source may be any folder, zip or data
set's name, so none can be a dependency that dvc.yaml writes down. Nothing is read but names, sizes and times.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from stages import cli, store


def source(job: cli.Job) -> None:
    """Write how many files `source` (and a `labels` file) has, how large, and a digest of names, sizes and times."""
    ingest = cli.block(job.params, "ingest")
    seen, files, size = hashlib.sha256(), 0, 0
    for name, stat in listing(Path(str(ingest.get("source", ""))), Path(str(ingest.get("labels", "")))):
        seen.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape"))
        files, size = files + 1, size + stat.st_size
    found = {"source": ingest.get("source"), "files": files, "bytes": size, "state": seen.hexdigest()[:16]}
    store.write_json(job.path(store.source_path), found)


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
    cli.main(source, takes=("modality",))
