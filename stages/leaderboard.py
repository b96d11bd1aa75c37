"""Runs -> leaderboard: means over seeds, and what may be called best. Pure functions.

`random` and `supervised` frame the table and are never called best, and neither is a baseline, which has no encoder.
"""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.results import STATES, Measure, Run

BASELINES = ("random", "supervised")
HEADLINE = Measure("probe", "linear", "accuracy")  # sorts the table and gives the verdict; see `headline`
LEADS = (
    "accuracy",
    "J&F",
    "mIoU",
    "AP",
    "mAP",
    "spearman",
    "perplexity",
)  # what a task is known by, where it has one of these
FIRST = ("accuracy", "bits_per_byte", "J&F")  # of several metrics of a task, the one that is shown
# A metric is better when it is less if one of these words is in its name.
LESS = ("perplexity", "bits", "error", "decay")
# What describes an encoder or its texts, where neither more nor less is better: nothing of it is ever called best.
DESCRIBES = (
    "effective_rank", "participation_ratio", "live_share", "alignment", "uniformity", "coverage", "distinct",
    "repeated", "copied",
)  # fmt: skip
COLUMNS = (
    "modality", "method", "task", "metric", "mean", "std", "seeds", "chance", "samples", "parameters",
)  # fmt: skip
RULE = (
    "Bold: the best self-supervised method, where it exceeds every other one and random by more than two "
    "standard errors of the difference, √(s₁²/n₁ + s₂²/n₂)."
)


@dataclass(frozen=True)
class Row:
    """One method on one task and metric: a line of leaderboard.csv."""

    modality: str
    method: str
    measure: Measure
    mean: float | None  # None where no seed counts
    std: float | None  # over seeds (n - 1); None with fewer than two
    seeds: int  # how many count
    chance: float | None
    samples: int | None
    parameters: int | None
    baseline: bool = False  # has no encoder, and nothing of it is drawn
    draws: float | None = None  # deviation over draws of labels, where one seed counts and has several

    @property
    def merit(self) -> float:
        """The mean, so turned that more is better."""
        return (self.mean or 0.0) * (-1 if less(self.measure) else 1)

    def fields(self) -> list[str]:
        """As text, in the order of COLUMNS."""
        numbers = (self.mean, self.std, self.seeds, self.chance, self.samples, self.parameters)
        return [self.modality, self.method, self.measure.task, self.measure.metric, *map(exact, numbers)]


@dataclass(frozen=True)
class Line:
    """One method's row of a modality's table."""

    method: str
    rows: dict[Measure, Row]  # of the table's columns; without what does not count
    own: Row | None  # its own task, by the first metric
    state: str  # one of results.STATES, "partly judged" or "not in `run`"
    notes: list[str]  # what is wrong, with the seeds it is true of
    counted: int  # seeds that have the headline, or, of a baseline, anything
    seeds: int  # seeds that were asked for
    baseline: bool = False


@dataclass(frozen=True)
class Board:
    """The leaderboard of one modality; lines are sorted by the headline, best first, those without it last."""

    modality: str
    headline: Measure
    columns: list[Measure]
    lines: list[Line]
    best: dict[Measure, str]  # the method that may be called best, where one may
    chance: dict[Measure, float]

    def line(self, method: str) -> Line:
        return next(line for line in self.lines if line.method == method)


def exact(number: float | None) -> str:
    """A number for a CSV: the same text each time; empty for None."""
    return "" if number is None else f"{number:.6g}" if isinstance(number, float) else str(number)


def order(measure: Measure) -> tuple[int, bool, str, int, bool, str, float]:
    """Frozen tasks first and `linear` before all, then those of transfers, then the pretext.

    Within a task first what it is known by, last what is better when it is less; hit@5 before hit@10.
    """
    stage = ("probe", "transfer", "pretrain").index(measure.stage)
    linear = measure.task.partition(" (")[0] == HEADLINE.task
    name, _, at = measure.metric.partition("@")
    place = LEADS.index(name) if name in LEADS else len(LEADS)
    number = re.match(r"[\d.]+", at)
    return stage, not linear, measure.task, place, less(measure), name, float(number[0]) if number else 0.0


def headline(measures: Iterable[Measure]) -> Measure:
    """The linear probe's accuracy on the corpus itself; where only further sets have labels, on the first of them."""
    linear = [m for m in sorted(measures, key=order) if m.task.partition(" (")[0] == HEADLINE.task]
    return next((m for m in linear if (m.stage, m.metric) == (HEADLINE.stage, HEADLINE.metric)), HEADLINE)


def less(measure: Measure) -> bool:
    """Whether less of it is better."""
    return any(word in f"{measure.task} {measure.metric}".lower() for word in LESS)


def describes(measure: Measure) -> bool:
    """Whether it has no better direction: a collapsed encoder has the best alignment, noise the most distinct words."""
    return measure.metric.startswith(DESCRIBES)


def fraction(measure: Measure) -> float | None:
    """The share of labels, 0 to 1, that a metric such as accuracy@10% was reached with."""
    share = parted(measure)[1]
    return float(share[1:-1]) / 100 if share else None


def parted(measure: Measure) -> tuple[str, str]:
    """A metric and the share of labels in its name: ("accuracy", "@10%") of accuracy@10%, ("hit@5", "") of hit@5."""
    found = re.fullmatch(r"(.+?)(@[\d.]+%)", measure.metric)
    return (found[1], found[2]) if found else (measure.metric, "")


def rows(runs: Sequence[Run]) -> list[Row]:
    """Every line of leaderboard.csv: by modality, task and metric, best mean first, those without one last.

    A method that failed still has its line for every task of its modality, with 0 seeds; one that a task is not for
    has none.
    """
    found = []
    for modality in dict.fromkeys(run.modality for run in runs):
        mine = [run for run in runs if run.modality == modality]
        methods = list(dict.fromkeys([*(run.method for run in mine), *BASELINES]))
        measures = {measure for run in mine for measure in run.scores}
        measures.add(headline(measures))
        whole = {run.method for run in mine} - {run.method for run in mine if run.problems}
        for measure in sorted(measures, key=order):
            guess = next((run.chances[measure] for run in mine if measure in run.chances), None)
            lines = [
                _row(modality, method, measure, [run for run in mine if run.method == method], guess)
                for method in methods
            ]
            if measure.stage == "pretrain":
                lines = [line for line in lines if line.seeds]
            elif measure != headline(measures):
                lines = [line for line in lines if line.seeds or line.method not in whole]
            found += sorted(
                lines, key=lambda line: (line.mean is None, -line.merit, methods.index(line.method))
            )
    return found


def _row(modality: str, method: str, measure: Measure, runs: Sequence[Run], guess: float | None) -> Row:
    values = [run.scores[measure] for run in runs if measure in run.scores]
    chances = [run.chances[measure] for run in runs if measure in run.chances]
    spreads = [run.spreads[measure] for run in runs if measure in run.spreads]
    about = next((run for run in runs if run.about), None)
    return Row(
        modality=modality,
        method=method,
        measure=measure,
        mean=statistics.fmean(values) if values else None,
        std=statistics.stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        chance=statistics.fmean(chances) if chances else guess,
        samples=about.samples if about else None,
        parameters=about.about.get("parameters") if about else None,
        baseline=any(run.baseline for run in runs),
        draws=spreads[0] if len(values) == 1 and spreads else None,
    )


def beyond(one: Row, other: Row) -> bool:
    """Whether the difference is more than two of its standard errors. One seed has no spread: then never."""
    spreads = [0.0 if row.baseline else row.std for row in (one, other)]
    if one.mean is None or other.mean is None or None in spreads:
        return False
    error = math.sqrt(
        sum((std or 0) ** 2 / row.seeds for std, row in zip(spreads, (one, other), strict=True))
    )
    return one.merit - other.merit > 2 * error


def best(lines: Sequence[Row]) -> str | None:
    """The self-supervised method, of the rows of one measure, that is beyond all others and beyond random."""
    if any(describes(row.measure) for row in lines):
        return None
    rivals = [row for row in lines if row.method != "supervised" and row.mean is not None]
    first = max(rivals, key=lambda row: row.merit, default=None)
    if first is None or first.method == "random" or first.baseline or len(rivals) == 1:
        return None
    return first.method if all(beyond(first, row) for row in rivals if row is not first) else None


def board(modality: str, runs: Sequence[Run], found: Sequence[Row]) -> Board:
    """The table of one modality, from all runs and all rows."""
    found = [row for row in found if row.modality == modality]
    columns = list(dict.fromkeys(row.measure for row in found if row.measure.stage != "pretrain"))
    first = headline(columns)
    of = {measure: [row for row in found if row.measure == measure] for measure in columns}
    lines = [
        _line(
            row.method,
            found,
            [run for run in runs if (run.modality, run.method) == (modality, row.method)],
            first,
        )
        for row in of[first]
    ]
    chances = {measure: row.chance for measure in columns for row in of[measure] if row.chance is not None}
    return Board(
        modality=modality,
        headline=first,
        columns=columns,
        lines=lines,
        best={measure: name for measure in columns if (name := best(of[measure]))},
        chance=chances,
    )


def _line(method: str, found: Sequence[Row], runs: Sequence[Run], head: Measure) -> Line:
    mine = [row for row in found if row.method == method and row.seeds]
    why: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        for state, reason in run.problems:
            why.setdefault((state, reason), []).append(run.seed)
    state = min((key[0] for key in why), key=STATES.index, default="") if runs else "not in `run`"
    if state == "not judged yet" and any(row.measure.stage != "pretrain" for row in mine):
        state = "partly judged"
    return Line(
        method=method,
        rows={row.measure: row for row in mine if row.measure.stage != "pretrain"},
        own=next((row for row in mine if row.measure.stage == "pretrain"), None),
        state=state,
        notes=[
            f"{state}: {reason} (seed {', '.join(map(str, sorted(set(seeds))))})"
            for (state, reason), seeds in why.items()
        ],
        counted=sum(bool(run.scores) if run.baseline else head in run.scores for run in runs),
        seeds=len(runs),
        baseline=any(run.baseline for run in runs),
    )
