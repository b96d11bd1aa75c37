"""The report's files: complete, the same bytes twice, and made without loading torch."""

import csv
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import captions, figures, leaderboard, page, report, results, store
from stages.results import Run
from tests.conftest import ROOT
from tests.stages.conftest import write_params


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run_stage(*words: str, code: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *(["-c", code] if code else ["-m", *words])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_twice_the_same_bytes(tree: dict[str, Any]) -> None:
    report.report(tree)
    first = files(report.REPORT)
    report.report(tree)
    assert files(report.REPORT) == first
    tables = {"leaderboard.csv", "curves.csv", "labels.csv", "confusion.csv", "metrics.json"}
    assert set(first) == {"leaderboard.md", "index.html", "times.html"} | tables


def test_metrics_are_the_headline_of_every_method_that_has_one(tree: dict[str, Any]) -> None:
    report.report(tree)
    found = store.read_json(report.REPORT / "metrics.json")
    rows = [row for row in leaderboard.rows(results.read(tree)) if row.measure == leaderboard.HEADLINE]
    assert found == {"image": {row.method: row.mean for row in rows if row.seeds}}
    assert set(found["image"]) == {"random", "supervised", "rotation", "simclr", "byol", "pixels"}


def test_the_leaderboard_holds_what_the_rows_say(tree: dict[str, Any]) -> None:
    report.report(tree)
    found = table(report.REPORT / "leaderboard.csv")
    assert tuple(found[0]) == leaderboard.COLUMNS
    rows = leaderboard.rows(results.read(tree))
    assert len(found) == len(rows)
    for line, row in zip(found, rows, strict=True):
        assert (line["method"], line["metric"]) == (row.method, row.measure.metric)
        assert (
            float(line["mean"] or "nan") == pytest.approx(row.mean or math.nan, rel=1e-5, nan_ok=True)
            or row.mean is None
        )


def test_curves_hold_every_epoch_of_every_run(tree: dict[str, Any]) -> None:
    report.report(tree)
    found = table(report.REPORT / "curves.csv")
    assert len(found) == 3 * (1 + 5 * 10)  # random has one row, five methods have ten, one has none
    assert {line["loss"] for line in found if line["method"] == "random"} == {""}
    assert {line["fraction"] for line in table(report.REPORT / "labels.csv")} == {"0.01", "0.1", "1"}


def test_the_stage_needs_no_torch_and_ends_well_though_methods_failed(tree: dict[str, Any]) -> None:
    code = "import runpy, sys; sys.argv = ['report']; runpy.run_module('stages.report', run_name='__main__');"
    done = run_stage(code=code + "assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "report: artifacts/report/index.html\n"


def test_nothing_run_is_one_line_and_leaves_no_report(project: Path) -> None:
    from tests.stages.conftest import settings

    write_params(settings())
    done = run_stage("stages.report")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "none of the 21 runs" in done.stderr
    assert not report.REPORT.exists()


def test_an_argument_is_a_wrong_command_line(project: Path) -> None:
    done = run_stage("stages.report", "image")
    assert (done.returncode, done.stderr) == (2, "usage: python -m stages.report\n")


def test_the_page_names_what_each_row_is_made_of(tree: dict[str, Any]) -> None:
    report.report(tree)
    html = (report.REPORT / "index.html").read_text()
    for part in (
        "0123456789abcdef", "fedcba9876543210", "lr: 0.002", "torch 2.14.1", "CC BY-SA 4.0", "60 truncated, 1 empty",
        "modalities/image/dvc.yaml:probe-image@rotation-17", "And 11 more in", "OpenMoji 17 &lt;color&gt;",
    ):  # fmt: skip
        assert part in html, part
    assert html.count("Plotly.newPlot(") == 18 + html.split("</script>")[0].count("Plotly.newPlot(")
    assert "<color>" not in html


def test_a_corpus_of_which_little_is_known_still_has_its_page(tree: dict[str, Any]) -> None:
    meta = Path("artifacts/corpus/image/meta.json")
    meta.write_text('{"fingerprint": "0123456789abcdef", "source": "my/folder"}')
    (meta.parent / "rejected.csv").unlink()
    shutil.rmtree("artifacts/features")
    report.report(tree)
    html = (report.REPORT / "index.html").read_text()
    assert "No licence is stated" in html and "On my/folder, SimCLR" in html


def test_a_method_keeps_its_colour_when_others_come() -> None:
    few, more = figures.styles(["random", "a", "b"]), figures.styles(["random", "supervised", "a", "b", "c"])
    assert few["a"] == more["a"] and few["b"] == more["b"]
    many = figures.styles([str(k) for k in range(20)])
    assert len({(colour, dash) for colour, dash, _ in many.values()}) == 22  # with both baselines


def test_a_curve_is_the_mean_and_range_over_seeds_and_skips_what_is_no_number() -> None:
    def run(seed: int, *losses: str) -> Run:
        return Run("image", "a", seed, history=[{"samples": str(k), "loss": x} for k, x in enumerate(losses)])

    found = figures.curve([run(1, "1.0", "4.0", "nan"), run(2, "3.0", "", "nan")], "loss")
    assert found == [(0.0, 2.0, 1.0, 3.0), (1.0, 4.0, 4.0, 4.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""Rotation: say which turn.\n\nPaper."""', ("Rotation", "say which turn.")),
        ('"""Two lines: a sentence\nthat goes on."""', ("Two lines", "a sentence that goes on.")),
        (
            '"""A long first sentence that has: a colon."""',
            ("file", "A long first sentence that has: a colon."),
        ),
        ("import torch", ("file", "")),
    ],
)
def test_a_caption_is_the_first_sentence_of_the_file(
    tmp_path: Path, text: str, expected: tuple[str, str]
) -> None:
    (tmp_path / "file.py").write_text(text)
    assert captions.split(tmp_path / "file.py") == expected


def test_params_are_shown_as_yaml() -> None:
    assert (
        page.as_yaml({"train": {"lr": 0.002}, "model": {"turns": 4}})
        == "train: {lr: 0.002}\nmodel: {turns: 4}\n"
    )
