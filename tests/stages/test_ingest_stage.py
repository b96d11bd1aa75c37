"""The ingest stage from outside: what a person with unusable data sees, and what is left on disk."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.image.files import ROOT, Params, classes, encoded, picture, put


def stage(folder: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    """`python -m stages.ingest image` in a folder with params.yaml changed so."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    start = lines.index("image:") + 1
    for key, value in changes.items():
        place = next(k for k in range(start, len(lines)) if lines[k].startswith(f"    {key}:"))
        lines[place] = f"    {key}: {json.dumps(value)}"
    (folder / "params.yaml").write_text("\n".join(lines))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.ingest", "image"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def make_source(kind: str, folder: Path) -> Params:
    """The bad inputs a person may come with, and the settings that lead to them."""
    source = folder / "data"
    if kind == "one class":
        put(source / "cats/1.png", encoded(picture(1)))
    elif kind == "no picture in it":
        put(source / "cats/1.jpg", b"text")
        put(source / "dogs/2.jpg", b"")
    elif kind == "an empty folder":
        source.mkdir()
    elif kind == "too many bad":
        put(classes(source) / "cats/bad.jpg", b"text")
    elif kind == "a csv of missing files":
        put(
            classes(source) / "labels.csv",
            b"file,label\ncats/0.png,a\ncats/2.png,b\nnone/1.png,a\nnone/2.png,a\n",
        )
        return {"source": "data", "labels": "labels.csv"}
    elif kind == "no such csv":
        classes(source)
        return {"source": "data", "labels": "labels.csv"}
    elif kind == "a broken zip":
        return {"source": str(put(folder / "data.zip", b"PK\3\4 nothing"))}
    elif kind == "a wrong setting":
        return {"source": "data", "fit": "stretch"}
    return {"source": "data"}


ONE_LINERS = {
    "a missing folder": (
        1,
        'image.ingest.source is "data" and there is no such folder; use a folder, a .zip',
    ),
    "an empty folder": (2, "data holds no picture; put some in"),
    "no picture in it": (2, "no file of data could be read as a picture (1 empty file, 1 not an image)"),
    "one class": (
        2,
        'only one class ("cats") in data: nothing can be judged; add a second class folder, or set',
    ),
    "too many bad": (
        2,
        "1 of 7 files of data were rejected (1 not an image; first 'cats/bad.jpg': begins with",
    ),
    "a csv of missing files": (
        2,
        "2 of 8 files of data were rejected (2 missing; first 'none/1.png': named in line 4",
    ),
    "no such csv": (1, "image.ingest.labels is labels.csv; there is no such file"),
    "a broken zip": (2, "data.zip is no zip, or a broken one"),
    "a wrong setting": (2, "image.ingest.fit is 'stretch'; input should be 'crop', 'pad' or 'squash'"),
}


@pytest.mark.parametrize("kind", ONE_LINERS)
def test_bad_input_is_one_line_an_exit_code_and_nothing_half_written(kind: str, tmp_path: Path) -> None:
    code, message = ONE_LINERS[kind]
    done = stage(tmp_path, **make_source(kind, tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.name != "corpus"]


def test_a_failed_ingest_leaves_the_corpus_that_was_there(tmp_path: Path) -> None:
    source = classes(tmp_path / "data")
    first = stage(tmp_path, source="data", side=8)
    assert first.returncode == 0, first.stderr
    assert "6 pictures" in first.stdout and "ingest: 6/6 files" in first.stdout
    before = (tmp_path / "artifacts/corpus/image/meta.json").read_bytes()
    shutil.rmtree(source / "dogs")
    assert stage(tmp_path, source="data", side=8).returncode == 2
    assert [path.name for path in (tmp_path / "artifacts/corpus").iterdir()] == ["image"]
    assert (tmp_path / "artifacts/corpus/image/meta.json").read_bytes() == before
