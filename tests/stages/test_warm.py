"""A stage in a fork of a process that has its libraries is the stage that starts by itself, but for time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages import warm
from tests.conftest import ROOT

TOY = """
import json, os, sys, time
print(json.dumps([os.getppid(), sys.argv[1:], os.getcwd(), os.environ.get("SAID"), __name__]))
print("to stderr", file=sys.stderr)
word = sys.argv[1] if len(sys.argv) > 1 else ""
if word == "fail":
    raise ValueError("no good")
if word == "die":
    os.kill(os.getpid(), 9)
if word == "sleep":
    open("began", "w").write(str(os.getpid()))
    time.sleep(60)
    open("ended", "w").close()
sys.exit(int(word or 0))
"""


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that keeps no libraries, and a module `toy` to run."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s"
    monkeypatch.setenv(warm.VARIABLE, str(path))
    code = f"from stages import warm; warm.keep({str(path)!r}, ['json', 'no_such_library'])"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until(path.exists)
    yield child
    child.kill()
    child.wait()


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asking(*words: str) -> "subprocess.Popen[str]":
    code = f"import sys; from stages import warm; sys.exit(warm.ask('toy', {list(words)!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT), "SAID": "this"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_words_folder_environment_streams_and_status_are_the_askers(
    keeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    for words, code in ((["3", "b c"], 3), ([], 0)):
        child = asking(*words)
        out, error = child.communicate(timeout=20)
        assert json.loads(out) == [keeper.pid, words, str(tmp_path), "this", "__main__"]
        assert error == "to stderr\n" and child.returncode == code


def test_what_it_raises_and_what_kills_it_is_told(keeper: "subprocess.Popen[bytes]") -> None:
    child = asking("fail")
    assert "ValueError: no good" in child.communicate(timeout=20)[1] and child.returncode == 1
    child = asking("die")
    child.communicate(timeout=20)
    assert child.returncode == 128 + signal.SIGKILL


def test_a_fork_ends_with_its_asker(keeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    child = asking("sleep")
    began = tmp_path / "began"
    until(lambda: began.exists() and began.read_text())
    child.kill()
    child.communicate()
    until(lambda: not running(int(began.read_text())))
    assert not (tmp_path / "ended").exists()


def running(process: int) -> bool:
    """Not gone, and not a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_anybody_who_keeps_libraries_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(warm.VARIABLE, raising=False)
    assert warm.ask("toy", []) is None
    monkeypatch.setenv(warm.VARIABLE, "/nowhere/to/be/found")
    assert warm.ask("toy", []) is None


def test_a_keeper_goes_with_its_parent_and_a_command_keeps_its_status(tmp_path: Path) -> None:
    code = f"echo ${warm.VARIABLE} > {tmp_path / 'where'}; exit 7"
    done = subprocess.run([sys.executable, "-m", "stages.warm", "sh", "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 7
    socket = Path((tmp_path / "where").read_text().strip())
    assert socket.name == "socket" and not socket.parent.exists()


def test_a_stage_that_does_not_exist_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages", "prtrain"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("usage: python -m stages STAGE")
