"""Write the report: `python -m stages.report`. Leaderboard as CSV, Markdown and a page, and curves for `dvc plots`."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from stages import cli, confusion, cost, leaderboard, page, results, store

REPORT = store.ARTIFACTS / "report"


def report(params: cli.Params) -> None:
    """Everything in artifacts/report, from what the runs of params.yaml have left on disk."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    runs = results.read(params)
    rows = leaderboard.rows(runs)
    sections = page.sections(runs, rows, params)
    with store.writing(REPORT) as out:
        out.mkdir()
        write_csv(out / "leaderboard.csv", leaderboard.COLUMNS, (row.fields() for row in rows))
        write_csv(out / "curves.csv", CURVES, curves(runs))
        write_csv(out / "labels.csv", LABELS, labels(rows))
        mistaken = (line for section in sections for line in confusion.lines(section.board, runs))
        write_csv(out / "confusion.csv", confusion.COLUMNS, mistaken)
        store.write_json(out / "metrics.json", {each.modality: headlines(each.board) for each in sections})
        (out / "leaderboard.md").write_text(page.render("leaderboard.md", sections=sections))
        (out / "times.html").write_text(cost.frame(runs))
        html = page.render("page.html", sections=sections, plotly=Markup(get_plotlyjs()))
        (out / "index.html").write_text(html)


CURVES = ("modality", "method", "seed", "epoch", "step", "samples", "loss", "std", "rank")
LABELS = ("modality", "task", "method", "fraction", "mean", "std")


def curves(runs: Sequence[results.Run]) -> Iterable[list[str]]:
    """history.csv of every run, one below the other; a number it lacks is empty."""
    for run in runs:
        for line in run.history:
            yield [run.modality, run.method, str(run.seed), *(line.get(name) or "" for name in CURVES[3:])]


def labels(rows: Sequence[leaderboard.Row]) -> Iterable[list[str]]:
    """Label efficiency: what each task that takes a share of the labels reaches, on the frozen encoder or with it."""
    shares: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        shares.setdefault((row.modality, row.measure.task), set()).add(leaderboard.parted(row.measure)[1])
    for row in rows:
        share = leaderboard.fraction(row.measure)
        # One share of the labels is a number, not a curve.
        if share is not None and row.mean is not None and len(shares[row.modality, row.measure.task]) > 1:
            numbers = map(leaderboard.exact, (share, row.mean, row.std))
            yield [row.modality, row.measure.task, row.method, *numbers]


def headlines(board: leaderboard.Board) -> dict[str, float | None]:
    """The headline by method: a column each in `dvc exp show`, where an experiment is a row."""
    return {
        line.method: line.rows[board.headline].mean for line in board.lines if board.headline in line.rows
    }


def write_csv(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)


def main() -> None:
    if len(sys.argv) > 1:
        print("usage: python -m stages.report", file=sys.stderr)
        sys.exit(2)
    with cli.reporting():
        report(cli.load())
        print(f"report: {REPORT / 'index.html'}")


if __name__ == "__main__":
    main()
