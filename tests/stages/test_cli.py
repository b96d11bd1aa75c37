"""The command line: params against signatures, one line and an exit code for what is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from stages import cli
from tests.conftest import ROOT, params


def function(first: int, *, rate: float, name: Literal["a", "b"], sizes: list[int], extra: int = 3) -> float:
    return first * rate


GOOD: dict[str, Any] = {"rate": 0.5, "name": "a", "sizes": [1, 2]}


def test_a_block_that_fits_its_signature_passes() -> None:
    cli.check(function, GOOD, "image.x")
    cli.check(function, GOOD | {"extra": 4}, "image.x")
    cli.check(function, {"rate": 1.0, "name": "a"}, "image.x", given=("sizes",))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (GOOD | {"rat": 1}, r"unknown key image\.x\.rat; did you mean rate\?"),
        ({"rate": 0.5, "name": "a"}, r"image\.x\.sizes is missing"),
        (GOOD | {"rate": "fast"}, r"image\.x\.rate is 'fast'; input should be a valid number"),
        (GOOD | {"name": "c"}, r"image\.x\.name is 'c'; input should be 'a' or 'b'"),
        (GOOD | {"sizes": 3}, r"image\.x\.sizes is 3; input should be a valid list"),
        (None, r"image\.x is None; it needs a block of keys"),
    ],
)
def test_one_that_does_not_names_the_key_the_value_and_the_way_out(block: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cli.check(function, block, "image.x")


def test_a_methods_train_is_laid_over_the_modalitys() -> None:
    found = params()
    found["image"]["pretexts"]["rotation"]["train"] = {"lr": 0.25}
    job = cli.job(found, "image", "rotation", 17)
    assert job.params["train"]["lr"] == 0.25
    assert job.params["train"]["batch"] == found["image"]["train"]["batch"]
    assert found["image"]["train"]["lr"] != 0.25


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def run(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=where, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("image", "rotatoin", "17"), "no image.pretexts.rotatoin; did you mean rotation?", 2),
        (("imge", "rotation", "17"), 'no modality "imge"; have image', 2),
        (("image", "rotation", "x"), "the seed is x; use a whole number", 2),
        (("image", "rotation"), "usage: python -m stages.pretrain MODALITY METHOD SEED", 2),
        (
            ("image", "rotation", "17"),
            "artifacts/corpus/image holds no corpus; run `dvc repro` first",
            1,
        ),
    ],
)
def test_what_is_wrong_is_one_line_without_a_traceback(
    words: tuple[str, ...], message: str, code: int, project: Path
) -> None:
    done = run(project, "stages.pretrain", *words)
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert done.returncode == code
    assert not (project / "artifacts").exists()


def test_a_key_that_does_not_exist_stops_before_anything_is_made(project: Path) -> None:
    text = (project / "params.yaml").read_text().replace("model: {turns: 4}", "model: {turn: 4}")
    (project / "params.yaml").write_text(text)
    done = run(project, "stages.check")
    assert "unknown key image.pretexts.rotation.model.turn; did you mean turns?" in done.stderr
    assert done.returncode == 2


def test_broken_yaml_is_one_line(project: Path) -> None:
    (project / "params.yaml").write_text("image: [1,\n")
    done = run(project, "stages.build", "image", "rotation")
    assert "params.yaml is not YAML" in done.stderr and done.stderr.count("\n") == 1 and done.returncode == 2


def test_the_traceback_is_kept_for_whoever_wants_it(project: Path) -> None:
    run(project, "stages.build", "image", "rotatoin")
    assert "Traceback" in (project / ".scratch/traceback.txt").read_text()


@pytest.mark.parametrize("module", ["stages", "stages.probe", "pipelines.swap", "pipelines.refresh"])
def test_a_python_without_the_libraries_is_told_the_way_to_one_that_has_them(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", module, "source"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and "`. .venv/bin/activate`" in done.stderr
