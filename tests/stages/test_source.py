"""The source stage: any change of the raw data changes what it writes, and nothing else does."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import modalities
from stages import source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/1.jpg").write_bytes(b"one")
    (tmp_path / "photos/cat/2.jpg").write_bytes(b"two")
    (tmp_path / "photos/again").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/gone.jpg").symlink_to(tmp_path / "nothing")
    return tmp_path / "photos"


def state(methods: tuple[str, ...] = ("rotation",), **changes: Any) -> dict[str, Any]:
    ingest = {"source": "photos", "labels": "folders", "tasks": {}} | changes
    others: dict[str, Any] = {name: {"ingest": {}} for name in modalities.modalities()}
    source.source(others | {"run": {"image": list(methods)}, "image": {"ingest": ingest}})
    found: dict[str, Any] = json.loads(Path("artifacts/sources/image.json").read_text())
    return found


def test_the_same_folder_gives_the_same_state(folder: Path) -> None:
    first = state()
    assert first == state() and first["files"] == 2 and first["bytes"] == 6 and first["wanted"]


def test_every_kind_of_change_is_noticed(folder: Path) -> None:
    states = [state()["state"]]
    (folder / "cat/3.jpg").write_bytes(b"three")
    states.append(state()["state"])
    (folder / "cat/3.jpg").rename(folder / "cat/4.jpg")
    states.append(state()["state"])
    (folder / "cat/4.jpg").write_bytes(b"longer")
    states.append(state()["state"])
    os.utime(folder / "cat/4.jpg", ns=(1, 1))
    states.append(state()["state"])
    (folder / "cat/4.jpg").unlink()
    assert len(set(states)) == len(states)


def test_a_label_file_and_further_sets_count_and_a_name_has_no_files(folder: Path) -> None:
    before = state()["state"]
    Path("labels.csv").write_text("file,label\n")
    assert state(labels="labels.csv")["state"] != before
    Path("more").mkdir()
    Path("more/a.jpg").write_bytes(b"a")
    assert state(tasks={"more": "more"})["state"] != before
    assert state(source="openmoji")["files"] == 0
    assert state(source="openmoji", labels="")["files"] == 0


def test_of_a_modality_without_methods_nothing_is_looked_at(folder: Path) -> None:
    unwanted = state(methods=())
    assert not unwanted["wanted"] and unwanted["files"] == 0
    (folder / "cat/3.jpg").write_bytes(b"three")
    assert state(methods=()) == unwanted


def test_every_modality_has_its_file(folder: Path) -> None:
    state()
    assert {path.stem for path in Path("artifacts/sources").iterdir()} == set(modalities.modalities())
