"""Times of training: logged as they pass, found again by encoder, and kept out of all that must be the same twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages import clock, cost, report, store
from stages.cost import Times
from tests.conftest import ROOT
from tests.stages.conftest import write_log
from tests.stages.test_report import files


def stretch(start: int, stop: int, seconds: float, run: str = "a") -> dict[str, Any]:
    return {"run": run, "epoch": 1, "from": start, "samples": stop, "seconds": seconds}


def end(encoder: str, run: str = "a") -> dict[str, Any]:
    return {"run": run, "encoder": encoder, "machine": "CPU, 2 threads"}


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([stretch(0, 100, 1.0), stretch(100, 200, 3.0), end("e")], (4.0, 50.0)),
        # A kill after sample 150: what was trained since sample 120 is trained again, and only that part is logged.
        ([stretch(0, 100, 1.0), stretch(120, 200, 0.8), end("e")], (2.0, 100.0)),
        # The first epoch was logged and then lost, since no checkpoint was written after it.
        ([stretch(0, 100, 1.0), stretch(0, 100, 1.0), stretch(100, 200, 1.0), end("e")], (2.0, 100.0)),
        (
            [stretch(0, 100, 9.0), end("e"), stretch(0, 100, 1.0), end("e")],
            (1.0, 100.0),
        ),  # run twice: the last
        ([stretch(0, 100, 1.0), end("e"), stretch(0, 100, 9.0), end("f")], (1.0, 100.0)),
        ([stretch(0, 100, 9.0, "b"), stretch(0, 100, 1.0), end("e")], (1.0, 100.0)),  # b was given up
        ([stretch(0, 100, 1.0), end("f")], None),
        ([end("e")], None),  # nothing is trained in `random`
        ([], None),
    ],
)
def test_the_time_is_what_a_run_takes_that_nobody_kills(
    log: list[dict[str, Any]], expected: tuple[float, float] | None
) -> None:
    assert cost.times(log, "e") == (expected and Times(*expected, "CPU, 2 threads"))


def test_what_the_clock_writes_is_what_is_read(project: Path) -> None:
    with clock.clock("image rotation 17", "run", 32) as tick:
        tick(1, 64)
        tick(2, 128)
    file = store.log_path("image", "rotation", "17")
    clock.made(file, "run", "e", clock.machine(torch.device("cpu")))
    with file.open("a") as stream:
        stream.write('{"run": "ru')  # killed while writing
    log = cost.lines(file)
    assert [(line["from"], line["samples"]) for line in log[:2]] == [(32, 64), (64, 128)]
    assert len(log) == 3 and log[2]["machine"].startswith("CPU, ")
    assert all(line["seconds"] >= 0 for line in log[:2])


def test_a_run_has_times_where_its_log_is_of_its_encoder(tree: dict[str, Any]) -> None:
    report.report(tree)
    text = (report.REPORT / "times.html").read_text()
    found = json.loads(text.partition("times: ")[2].partition(" }, ")[0])
    digest = store.digest(store.model_path("image", "rotation", 17) / "encoder.safetensors")
    assert found[digest] == {
        "seconds": pytest.approx(30_000 / 1017, abs=0.01),
        "rate": 1017,
        "machine": "CPU, 2 threads",
    }
    assert len(found) == 6  # three seeds of two methods


def test_other_times_change_no_output_that_must_be_the_same_twice(tree: dict[str, Any]) -> None:
    report.report(tree)
    before = files(report.REPORT)
    write_log("rotation", 17, 20.0)
    report.report(tree)
    after = files(report.REPORT)
    assert {name for name in before if before[name] != after[name]} == {"times.html"}


def test_the_file_of_times_is_no_part_of_the_cached_output() -> None:
    words = [
        sys.executable,
        "-m",
        "dvc",
        "check-ignore",
        str(report.REPORT / "times.html"),
        str(report.REPORT / "index.html"),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(report.REPORT / "times.html")], done.stderr
