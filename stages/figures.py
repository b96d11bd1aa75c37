"""The report's plots, as pieces of HTML that Plotly draws. Same numbers in, same bytes out.

A method has one colour, one dash and one marker in the whole page. Colours are Okabe and Ito's, which colour-blind
readers can tell apart (https://jfly.uni-koeln.de/color/); past six methods dash and marker tell them apart as well.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io

from stages.confusion import Confusions
from stages.cost import Line
from stages.gallery import Gallery
from stages.leaderboard import BASELINES, Board
from stages.results import Run

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dashdot", "longdash")
GLYPHS = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "cross": "✚", "star": "★",
    "x": "✖", "hexagon": "⬢",
}  # fmt: skip
SYMBOLS = tuple(GLYPHS)[:6]
BASELINE = {"random": ("#767676", "dot", "x"), "supervised": ("#000000", "dash", "hexagon")}
# A template would add 7 kB to every plot, so the few things it would say are said here.
AXIS = {
    "showline": True,
    "linecolor": "#9aa3ad",
    "gridcolor": "#e6e9ed",
    "ticks": "outside",
    "automargin": True,
}
CONFIG = {"displayModeBar": False, "responsive": True}
Style = tuple[str, str, str]  # colour, dash, marker
Point = tuple[float, float, float, float]  # samples seen; mean, lowest and highest over seeds


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """One look a method, by its place in `run`: adding a method at the end changes no other's."""
    others = [name for name in methods if name not in BASELINES]
    found = {
        name: (COLOURS[k % 6], DASHES[k // 6 % len(DASHES)], SYMBOLS[(k + k // 6) % 6])
        for k, name in enumerate(others)
    }
    return BASELINE | found


def cost(board: Board, lines: Sequence[Line], look: dict[str, Style]) -> dict[str, str]:
    """The headline against what it took: plots of "seconds", of "rate" and, where they differ, of "parameters".

    The first two are empty: the page puts in times, which are not the report's to keep (stages/cost.py).
    """
    drawn = [line for line in lines if line.row and line.method in look]
    kinds = {
        "seconds": ("Quality against time", "seconds of pretraining, log scale"),
        "rate": ("Quality against speed", "samples a second, log scale"),
    }
    if len({line.parameters for line in drawn}) > 1:
        kinds["parameters"] = ("Quality against size", "parameters, log scale")
    found = {}
    for kind, (title, unit) in kinds.items() if drawn else ():
        figure = go.Figure()
        for line in sorted(drawn, key=lambda line: list(look).index(line.method)):
            figure.add_scatter(
                x=[line.parameters if kind == "parameters" else None], y=[line.row and line.row.mean],
                error_y={"array": [(line.row and line.row.std) or 0], "thickness": 1.2, "width": 4},
                meta=line.encoders, **trace(line.method, look, "markers"),
            )  # fmt: skip
        figure.update_traces(marker={"size": 11})
        figure.update_xaxes(title=unit, type="log")
        figure.update_yaxes(title=f"{board.headline.task} {board.headline.metric} (0 to 1)")
        found[kind] = html(figure, title, f"{board.modality}-{kind}", hover="closest")
    return found


def marks(count: int) -> list[tuple[str, str]]:
    """Colour and marker of so many classes, no two alike up to 36."""
    return [(COLOURS[k % 6], SYMBOLS[(k + k // 6) % 6]) for k in range(count)]


def embeddings(found: Gallery, modality: str) -> dict[str, str]:
    """A map a method: where its encoder puts the samples, by class. A trace's customdata are its samples' tiles."""
    looks = list(zip(found.classes, marks(len(found.classes)), strict=True)) or [("", ("#0072B2", "circle"))]
    names = np.array(found.names[: found.points])
    made = {}
    for each in found.drawn:
        figure = go.Figure()
        for name, (colour, symbol) in looks:
            mine = np.flatnonzero(names == name)
            x, y = (np.round(each.places[mine, k].astype(float), 3).tolist() for k in (0, 1))
            marker = {
                "color": colour,
                "symbol": symbol,
                "size": 7,
                "line": {"width": 0.5, "color": "#ffffff"},
            }
            figure.add_scatter(
                x=x, y=y, mode="markers", name=name or "samples", customdata=mine.tolist(), marker=marker,
                hoverinfo="none", showlegend=False,
            )  # fmt: skip
        for axis, title in (
            (figure.update_xaxes, "t-SNE 1 (no unit)"),
            (figure.update_yaxes, "t-SNE 2 (no unit)"),
        ):
            axis(
                title={"text": title, "standoff": 8},
                range=[-1.08, 1.08],
                showticklabels=False,
                zeroline=False,
            )
        made[each.method] = html(figure, each.method, f"{modality}-map-{each.method}", hover="closest")
    return made


def confusions(found: Confusions, modality: str) -> dict[str, str]:
    """A matrix a method, of shares of each class in percent: one scale of colours, which the page gives its own."""
    made = {}
    for method, each in found.matrices.items():
        share = 100 * each.counts / np.maximum(each.sizes, 1)[:, None]
        told = [[f"{x:.0f}" if x >= 0.5 else "" for x in row] for row in share]
        figure = go.Figure()
        figure.add_heatmap(
            x=found.classes, y=found.classes, z=np.round(share, 1).tolist(), zmin=0, zmax=100, text=told,
            texttemplate="%{text}", textfont={"size": 10}, customdata=each.counts.tolist(), showscale=False, xgap=1,
            ygap=1, colorscale=[[0, "#ffffff"], [1, COLOURS[0]]],
            hovertemplate="%{y}, called %{x}: %{customdata}, %{z}% of the class<extra></extra>",
        )  # fmt: skip
        figure.update_xaxes(
            title={"text": "called", "standoff": 6}, tickangle=-45, tickfont={"size": 10}, type="category"
        )
        figure.update_yaxes(
            title={"text": "is", "standoff": 6}, autorange="reversed", tickfont={"size": 10}, type="category"
        )
        made[method] = html(figure, method, f"{modality}-confusion-{method}", hover="closest")
    return made


def losses(runs: Sequence[Run], look: dict[str, Style]) -> list[str]:
    """One plot a method, since losses of different tasks have different units."""
    found = []
    for method in dict.fromkeys(run.method for run in runs):
        points = curve([run for run in runs if run.method == method], "loss")
        if not points:
            continue
        figure = go.Figure()
        _band(figure, method, points, look, legend=True)
        figure.update_yaxes(title="training loss")
        figure.update_xaxes(title="samples seen", rangemode="tozero")
        found.append(html(figure, f"{method}: training loss", f"{runs[0].modality}-loss-{method}"))
    return found


def health(runs: Sequence[Run], look: dict[str, Style]) -> list[str]:
    """Spread and effective rank of the embeddings over training: both fall to nothing where an encoder collapses."""
    found = []
    for column, title, unit in (
        ("std", "Spread of the unit embeddings", "standard deviation"),
        ("rank", "Effective rank of the embeddings", "dimensions"),
    ):
        figure = go.Figure()
        curves = {
            method: points
            for method in look
            if (points := curve([run for run in runs if run.method == method], column))
        }
        last = max((points[-1][0] for points in curves.values()), default=0.0)
        for method, points in curves.items():
            # What is not trained has one point, at 0: drawn on as a line, it is what the others are read against.
            level = [(last, *points[0][1:])] if points[-1][0] == 0 else []
            _band(figure, method, [*points, *level], look)
        if figure.data:
            figure.update_yaxes(title=unit, rangemode="tozero")
            figure.update_xaxes(title="samples seen")
            found.append(html(figure, title, f"{runs[0].modality}-{column}"))
    return found


def curve(runs: Sequence[Run], column: str) -> list[Point]:
    """A column of history.csv over the seeds that have it, at each number of samples seen."""
    found: dict[float, list[float]] = {}
    for run in runs:
        for line in run.history:
            if line.get(column) and math.isfinite(float(line[column])):
                found.setdefault(float(line.get("samples") or 0), []).append(float(line[column]))
    return [(at, statistics.fmean(ys), min(ys), max(ys)) for at, ys in sorted(found.items())]


def _band(
    figure: Any, method: str, points: Sequence[Point], look: dict[str, Style], *, legend: bool = False
) -> None:
    """The mean over seeds, and from the lowest to the highest seed a band of the same colour."""
    at, mean, low, high = zip(*points, strict=True)
    red, green, blue = (int(look[method][0][k : k + 2], 16) for k in (1, 3, 5))
    if low != high:
        figure.add_scatter(
            x=[*at, *reversed(at)], y=[*high, *reversed(low)], fill="toself", mode="lines", hoverinfo="skip",
            line={"width": 0}, fillcolor=f"rgba({red}, {green}, {blue}, 0.18)", legendgroup=method,
            name="lowest to highest seed", showlegend=legend,
        )  # fmt: skip
    style = trace(
        method, look, "lines" if len(at) > 1 else "markers"
    )  # a line of one epoch would not be seen
    style |= {"name": "mean over seeds" if legend else method, "legendgroup": method}
    figure.add_scatter(x=at, y=mean, **style)


def trace(method: str, look: dict[str, Style], mode: str) -> dict[str, Any]:
    """How a method is drawn, whatever is drawn of it."""
    colour, dash, symbol = look[method]
    marker = {"color": colour, "size": 8, "symbol": symbol}
    line = {"color": colour, "width": 2.2, "dash": dash}
    return {"mode": mode, "name": method, "line": line, "showlegend": True} | (
        {"marker": marker} if "markers" in mode else {}
    )


def html(figure: Any, title: str, name: str, hover: str = "x unified") -> str:
    """The figure with what all of the page's plots have in common."""
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12}, "font": {"size": 15}},
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#1d2733"},
        margin={"l": 56, "r": 12, "t": 44, "b": 40},
        legend={"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hovermode=hover,
        dragmode=False,  # a finger on a phone scrolls the page, not the plot
    )  # fmt: skip
    found: str = plotly.io.to_html(
        figure, include_plotlyjs=False, full_html=False, div_id=f"plot-{name}", config=CONFIG
    )
    return found
