"""The real graph on scikit-learn's digits: what a change runs again, what the cache gives back, what a kill costs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import store
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
METHODS = ("random", "rotation", "simclr")


class Clone:
    """A clone of this repository, small enough to run in a minute or two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        self.path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self.run(sys.executable, "-m", "pipelines.swap", "digits", "quick")
        self.edit("params.yaml", r"^  image: \[.*\]", f"  image: [{', '.join(METHODS)}]")
        self.edit("params.yaml", r"^  (video|text): \[.*\]", r"  \1: []")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"PATH": self.path, "PYTHONPATH": str(self.folder)}
        return subprocess.Popen(
            words, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        child = self.start(*words)
        told, _ = child.communicate()
        assert child.returncode == 0, told
        return told

    def repro(self, *words: str) -> set[str]:
        """The stages that ran a command, without the one that always does."""
        told = self.run("dvc", "repro", *words)
        return set(re.findall(r"^Running stage '(?:[^']*:)?([^']+)':", told, re.M)) - {"source"}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text, count = re.subn(old, new, path.read_text(), flags=re.M)
        assert count, f"{old} is not in {file}"
        path.write_text(text)

    def model(self, method: str) -> str:
        return store.digest(self.folder / store.model_path("image", method, 17))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    made = Clone(tmp_path_factory.mktemp("reruns") / "clone")
    made.repro()
    yield made


def of(method: str) -> set[str]:
    return {
        f"build-image@{method}",
        *(f"{stage}-image@{method}-17" for stage in ("pretrain", "probe", "transfer")),
    }


ENDS = {"report", "export"}


def test_with_nothing_to_do_nothing_runs(clone: Clone) -> None:
    assert clone.repro() == set()


def test_a_methods_params_rerun_that_method_and_back_is_from_the_cache(clone: Clone) -> None:
    before = {method: clone.model(method) for method in METHODS}
    clone.edit("params.yaml", r"model: \{turns: 4\}", "model: {turns: 2}")
    assert clone.repro() == of("rotation") | ENDS
    assert clone.model("rotation") != before["rotation"]
    clone.edit("params.yaml", r"model: \{turns: 2\}", "model: {turns: 4}")
    assert clone.repro() == set()  # restored, not run
    assert {method: clone.model(method) for method in METHODS} == before


def test_a_methods_code_reruns_that_method_and_a_comment_nothing(clone: Clone) -> None:
    file = "modalities/image/pretexts/simclr.py"
    before = (clone.folder / file).read_text()
    (clone.folder / file).write_text(f"# why\n{before}")
    assert clone.repro() == set()
    (clone.folder / file).write_text(f"{before}\nUNUSED = 1\n")
    assert clone.repro() - ENDS == of("simclr")
    (clone.folder / file).write_text(before)
    assert clone.repro() == set()


def test_what_two_methods_share_reruns_both_and_no_third(clone: Clone) -> None:
    clone.edit("modalities/common/info_nce.py", r"\Z", "\nUNUSED = 1\n")
    clone.run(sys.executable, "-m", "stages.source")
    # A dry run cannot know that what these two make will differ.
    first = {name for name in of("simclr") if name.startswith(("build", "pretrain"))}
    assert clone.repro("--dry") - ENDS == first
    clone.edit("modalities/common/info_nce.py", r"\nUNUSED = 1\n", "")


@pytest.mark.parametrize("after", [0.0, 1.0, 24.0])
def test_a_kill_while_pretraining_costs_time_and_not_a_bit(clone: Clone, after: float) -> None:
    target = "modalities/image/dvc.yaml:pretrain-image@simclr-17"
    clone.edit("params.yaml", r"^(  train:\n    samples: )[\d_]+", rf"\g<1>{20_000 if after > 20 else 3_000}")
    child = clone.start("dvc", "repro", target)
    assert child.stdout
    for line in child.stdout:
        if "stages pretrain image simclr 17" in line:
            break
    time.sleep(after)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    clone.repro(target)
    resumed = clone.model("simclr")
    assert not list((clone.folder / ".scratch").glob("*/last.pt"))
    clone.repro("--force", "--single-item", target)
    assert clone.model("simclr") == resumed
