"""Carriers: only the pinned bytes are ever used, and pip is asked only where they are not there."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modalities.common import carriers

DATA = b"a wheel"
SHA256 = hashlib.sha256(DATA).hexdigest()
FILE = "some_carrier-1.2-py3-none-any.whl"


class Pip:
    """Stands for `pip download`: writes the wheel, or fails as pip does."""

    def __init__(self, stderr: str = "") -> None:
        self.stderr = stderr
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        pinned = Path(command[command.index("-r") + 1]).read_text()
        assert pinned == f"some-carrier==1.2 --hash=sha256:{SHA256}\n"
        if not self.stderr:
            Path(command[command.index("-d") + 1], FILE).write_bytes(DATA)
        return subprocess.CompletedProcess(command, 1 if self.stderr else 0, "", self.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("carriers.txt").write_text(
        f"other==2.0 --hash=sha256:{'0' * 64}\nsome-carrier==1.2 --hash=sha256:{SHA256}\n"
    )
    return tmp_path


def test_it_is_downloaded_once_and_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip()
    monkeypatch.setattr("subprocess.run", pip)
    assert carriers.wheel("some-carrier").read_bytes() == DATA
    assert carriers.wheel("some-carrier") == Path(".carriers") / FILE
    assert len(pip.commands) == 1
    assert {"download", "--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(pip.commands[0])
    assert [path.name for path in (here / ".carriers").iterdir()] == [FILE]


def test_other_bytes_under_the_right_name_are_not_used(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".carriers").mkdir()
    (here / ".carriers" / FILE).write_bytes(b"something else")
    monkeypatch.setattr("subprocess.run", Pip())
    assert carriers.wheel("some-carrier").read_bytes() == DATA


def test_offline_is_one_line_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", Pip("WARNING: Retrying\nERROR: No matching distribution\nmore\n"))
    with pytest.raises(
        ConnectionError, match=r"could not fetch some-carrier 1.2 \(ERROR: No matching .*go online"
    ):
        carriers.wheel("some-carrier")
    assert not list((here / ".carriers").iterdir())


def test_a_name_that_is_not_pinned(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"carriers.txt pins no numpy; it has other, some-carrier"):
        carriers.wheel("numpy")
    monkeypatch.chdir("/")
    with pytest.raises(FileNotFoundError, match="run this from the project's root"):
        carriers.wheel("numpy")


def test_every_line_of_the_real_file_is_a_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    lines = Path("carriers.txt").read_text().split("\n")
    for line in filter(None, lines):
        assert len(carriers.pin(line.split("==")[0]).sha256) == 64
