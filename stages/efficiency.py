"""Label efficiency as plots: how far a share of the labels goes from each encoder, frozen or fine-tuned."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from stages.figures import Style, html, trace
from stages.leaderboard import Board, Row, fraction, parted
from stages.results import Measure

SCRATCH = ("random", "fine_tune")  # untrained weights, tuned: that is training from scratch
WAYS = {"labels": "A classifier on the frozen encoder", "fine_tune": "The whole encoder, fine-tuned"}


def plots(board: Board, look: dict[str, Style]) -> list[str]:
    """Accuracy against the share of labels: a plot for each set and way of using the encoder, of one set on one scale.

    Each shows the line to beat: training from scratch on the same labels.
    """
    found: dict[tuple[str, str], list[Measure]] = {}
    for measure in board.columns:
        if fraction(measure) is not None:
            found.setdefault((measure.task, parted(measure)[0]), []).append(measure)
    # One share of the labels is a number, not a curve.
    curves = {key: columns for key, columns in found.items() if len(columns) > 1}
    drawn: list[str] = []
    for (task, metric), columns in curves.items():
        name, _, of = task.partition(" (")
        alike = [c for (other, kind), c in curves.items() if (other.partition(" (")[2], kind) == (of, metric)]
        scratch = curves.get((f"{SCRATCH[1]} ({of}" if of else SCRATCH[1], metric), [])
        figure = go.Figure()
        _methods(figure, board, look, columns, tuned=name == SCRATCH[1])
        if name != SCRATCH[1]:
            _scratch(figure, board, look, scratch)
        _chance(figure, board, columns)
        _axes(figure, columns, metric, _top(board, [m for c in alike for m in c]))
        title = WAYS.get(name, name) + (f", on {of.rstrip(')')}" if of else "")
        drawn.append(html(figure, title, f"{board.modality}-labels-{len(drawn)}"))
    return drawn


def _methods(
    figure: Any, board: Board, look: dict[str, Style], columns: Sequence[Measure], *, tuned: bool
) -> None:
    lines = [line for line in board.lines if line.method in look]
    for line in sorted(lines, key=lambda line: list(look).index(line.method)):
        rows = [line.rows[m] for m in columns if m in line.rows]
        if rows and tuned and line.method == SCRATCH[0]:
            _scratch(figure, board, look, columns)
        elif rows:
            figure.add_scatter(**_points(rows), **trace(line.method, look, "lines+markers"))


def _scratch(figure: Any, board: Board, look: dict[str, Style], columns: Sequence[Measure]) -> None:
    lines = [line for line in board.lines if line.method == SCRATCH[0]]
    rows = [line.rows[m] for line in lines for m in columns if m in line.rows]
    if rows:
        style = trace(SCRATCH[0], look, "lines+markers")
        style["line"] |= {"dash": "longdash"}
        style["marker"] |= {"symbol": "x-open"}
        figure.add_scatter(**_points(rows), **style | {"name": "from scratch"})


def _points(rows: Sequence[Row]) -> dict[str, Any]:
    spreads = [row.std if row.std is not None else row.draws for row in rows]
    return {
        "x": [100 * (fraction(row.measure) or 0) for row in rows],
        "y": [row.mean for row in rows],
        "error_y": {"array": [spread or 0 for spread in spreads], "thickness": 1.2, "width": 4},
    }


def _chance(figure: Any, board: Board, columns: Sequence[Measure]) -> None:
    chance = [board.chance[m] for m in columns if m in board.chance]
    shares = [100 * (fraction(m) or 0) for m in columns]
    if chance:
        figure.add_scatter(
            x=[min(shares), max(shares)], y=[max(chance)] * 2, mode="lines", name="chance",
            line={"color": "#9aa3ad", "width": 1.2, "dash": "dot"}, hoverinfo="skip",
        )  # fmt: skip


def _top(board: Board, columns: Sequence[Measure]) -> float:
    """A little above all that is drawn of these."""
    rows = [line.rows[m] for line in board.lines for m in columns if m in line.rows]
    return 1.05 * max((row.mean or 0) + (row.std or 0) for row in rows)


def _axes(figure: Any, columns: Sequence[Measure], metric: str, top: float) -> None:
    shares = sorted({100 * (fraction(m) or 0) for m in columns})
    figure.update_xaxes(
        title="share of the labels, log scale", type="log", tickvals=shares,
        ticktext=[f"{share:g}%" for share in shares],
    )  # fmt: skip
    figure.update_yaxes(title=f"{metric} on the test split (0 to 1)", range=[0, top])
