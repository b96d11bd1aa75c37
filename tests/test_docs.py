"""README, docs and the headers of overlays stay true: their links lead somewhere and their commands run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import swap
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADERS = [ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))]


def commands() -> Iterator[tuple[str, str]]:
    """(file, command) of every line of a shell block, of every `command` in a page, and of the headers of overlays."""
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`((?:make|dvc|pytest|python -m)(?: [^`]*)?)`", text)
        yield from ((page.name, line) for line in lines)
    for header in HEADERS:
        found = re.findall(r"^#   (\S.*)$", header.read_text(), re.M)
        yield from ((header.name, line) for line in found)


def parts(line: str) -> list[str]:
    """A line's commands, without remarks."""
    line = re.sub(r"\s+#.*$|\s+\(.*\)$|\s+\(.*$", "", line)
    return [part.strip() for part in re.split(r"&&|\|", line) if part.strip()]


COMMANDS = sorted({(where, part) for where, line in commands() for part in parts(line)})


def run(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[" ".join(each) for each in COMMANDS])
def test_every_command_is_one_that_there_is(
    where: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.split()
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        done = run("make", "-n", "-o", ".venv/.core", "-o", ".venv/.test", "-o", ".venv/.bench", *targets)
        assert done.returncode == 0, done.stderr
    elif words[:3] == ["python", "-m", "pipelines.swap"]:
        names = [word for word in words[3:] if word != "--options"]
        monkeypatch.chdir(ROOT)
        swap.main(["--options", *names])  # in this process, which has imported what all methods need
        assert capsys.readouterr().out
    elif words[:2] == ["python", "-m"]:
        assert ROOT.joinpath(*words[2].split(".")).with_suffix(".py").exists() or words[2] in (
            "pytest",
            "X",
        ), command
    elif words[0] == "dvc":
        done = run(sys.executable, "-m", "dvc", words[1], "--help")
        assert done.returncode == 0, done.stderr
    elif words[0] == "$EDITOR":
        assert (ROOT / words[1]).exists()
    else:
        assert words[0] in ("git", "pip", "pytest", "xargs", "torchrun", "unzip", "cd"), (
            f"{where}: what is `{command}`?"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.slow
def test_the_readme_as_a_new_user_would_follow_it(tmp_path: Path) -> None:
    """A clone, a folder of one's own, the overlay's header, `make`, and what lies where the README says it lies."""
    clone = tmp_path / "clone"
    assert run("git", "clone", "-q", str(ROOT), str(clone)).returncode == 0
    (clone / ".venv").symlink_to(ROOT / ".venv")
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for k in range(240):
        file = tmp_path / "mine" / str(digits.target[k] % 3) / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[k] * 15).astype("uint8")).resize((48, 48)).save(file)
    overlay = clone / "params" / "photos.yaml"
    overlay.write_text(overlay.read_text().replace("source: photos", f"source: {tmp_path / 'mine'}"))
    swap = run(sys.executable, "-m", "pipelines.swap", "photos", "quick", folder=clone)
    assert swap.returncode == 0, swap.stderr
    done = run("make", "-o", ".venv/.core", folder=clone)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| simclr" in done.stdout and "index.html" in done.stdout
    for path in (
        "report/index.html",
        "report/leaderboard.csv",
        "export/image/example.py",
        "corpus/image/rejected.csv",
    ):
        assert (clone / "artifacts" / path).exists(), path
    example = run(
        sys.executable,
        str(clone / "artifacts/export/image/example.py"),
        str(tmp_path / "mine/0/0.png"),
        folder=clone,
    )
    assert example.returncode == 0, example.stderr
    again = run("make", "-o", ".venv/.core", folder=clone)
    assert again.returncode == 0 and "Running stage" not in again.stdout.replace("Running stage 'source'", "")
    assert run("make", "leaderboard", folder=clone).returncode == 0
    shutil.rmtree(clone)
