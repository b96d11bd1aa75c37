"""A leaderboard in plain text and in words: the table of leaderboard.md, its footnotes, and the verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages import captions
from stages.leaderboard import BASELINES, Board, Line, Row, beyond, describes, less, parted
from stages.results import Measure

ACROSS = 6  # columns of numbers in a table of plain text
BRIEF = {"failed or not run": "no encoder", "not judged yet": "unjudged"}  # states that would widen a column


def short(number: float | None) -> str:
    """A number for reading: three decimals, one above ten."""
    if number is None:
        return "–"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.3f}"


def bare(number: float | None) -> str:
    """The same without its leading zero, as the field writes what lies between 0 and 1: `.012`."""
    return short(number).removeprefix("0")


def title(measure: Measure, columns: Sequence[Measure]) -> str:
    """`linear`, with its share of the labels where the task has several, and its metric where it is not the first."""
    of = [other for other in columns if other.task == measure.task]
    metric, share = parted(measure)
    first = metric == parted(of[0])[0]
    words = [measure.task, "" if first else metric, share if shares(of) > 1 else ""]
    return " ".join(word for word in words if word)


def shares(columns: Sequence[Measure]) -> int:
    """How many shares of the labels these columns of one task speak of."""
    return len({parted(measure)[1] for measure in columns})


def leads(columns: Sequence[Measure]) -> list[Measure]:
    """The first column of each task: what a table says that is to be taken in at a glance."""
    found: dict[str, Measure] = {}
    for measure in columns:
        found.setdefault(measure.task, measure)
    return list(found.values())


@dataclass(frozen=True)
class Column:
    """A column as the page heads it; its task stands above it."""

    measure: Measure
    title: str
    notes: list[str]
    lead: bool  # seen at once; the others of its task fold out
    less: bool  # is better


@dataclass(frozen=True)
class Group:
    """The columns of one task, on all the sets it is asked of."""

    task: str
    columns: list[Column]

    @property
    def leads(self) -> int:
        return sum(column.lead for column in self.columns)


def groups(board: Board) -> list[Group]:
    """All columns but the pretext's: `linear` and `linear (reviews)` are one group."""
    first, found = set(leads(board.columns)), dict[str, list[Column]]()
    for measure in board.columns:
        task, _, of = measure.task.partition(" (")
        metric, share = parted(measure)
        words = [word for word in (of.rstrip(")"), metric, share) if word]
        worse = ["less is better"] if less(measure) else ["no better or worse"] if describes(measure) else []
        column = Column(measure, words[0], [*words[1:], *worse], measure in first, less(measure))
        found.setdefault(task, []).append(column)
    return [Group(task, columns) for task, columns in found.items()]


def markdown(board: Board) -> str:
    """The table of one modality: a line a method, best first, and last what guessing scores.

    Of each task only the first metric is shown: leaderboard.csv and the page have them all. What a terminal has no
    room for goes into further tables, and so does a task that was tried with several shares of the labels.
    """
    tasks: dict[str, list[Measure]] = {}
    for measure in board.columns:
        tasks.setdefault(measure.task, []).append(measure)
    single = [of[0] for of in tasks.values() if shares(of) == 1]
    rows = [single[k : k + ACROSS] for k in range(0, len(single), ACROSS)]
    tables = [_table(board, row, own=not k) for k, row in enumerate(rows)]
    for of in tasks.values():
        if shares(of) > 1:
            metric = parted(of[0])[0]
            tables.append(_table(board, [m for m in of if parted(m)[0] == metric]))
    return "\n\n".join(tables)


def _table(board: Board, columns: Sequence[Measure], *, own: bool = False) -> str:
    lines = [["method", *(title(measure, board.columns) for measure in columns)]]
    told = [line for line in board.lines if not line.baseline or any(m in line.rows for m in columns)]
    lines += [[line.method, *_cells(board, line, columns)] for line in told]
    lines.append(["chance", *(bare(board.chance.get(measure)) for measure in columns)])
    if own:
        cells = ["pretext", *(_own(line) for line in told), ""]
        lines = [[*line, cell] for line, cell in zip(lines, cells, strict=True)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def _cells(board: Board, line: Line, columns: Sequence[Measure]) -> Iterator[str]:
    for k, measure in enumerate(columns):
        row = line.rows.get(measure)
        if row is None:
            yield BRIEF.get(line.state, line.state.replace("`", "")) if line.state and not k else "–"
            continue
        mean = f"**{bare(row.mean)}**" if board.best.get(measure) == line.method else bare(row.mean)
        yield mean if row.std is None else f"{mean} ±{bare(row.std)}"


def _own(line: Line) -> str:
    """A method's score on its own task beside what guessing scores, `.973 (.25)`."""
    return f"{bare(line.own.mean)} ({line.own.chance:.2g})".replace("(0.", "(.") if line.own else "–"


def protocol(board: Board, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(task, what it is and how it was measured) of every task of the table; `settings` are those of each, by name."""
    found = []
    for stage, task in dict.fromkeys(measure[:2] for measure in board.columns):
        have = [parted(m)[1] for m in board.columns if m.task == task]
        shares = [share[1:] for share in dict.fromkeys(have) if share]
        how = "frozen encoder" if stage == "probe" else "given the encoder itself"
        how += f", {', '.join(shares)} of the training labels" if shares else ""
        most = (settings.get(task.partition(" (")[0]) or {}).get("limit")
        on = f"at most {most:,} samples of the test split" if most else "the test split"
        said = captions.task(board.modality, stage, task).rstrip(".")
        found.append((task, f"{said + '; ' if said else ''}{how}, scored on {on}."))
    asked = "the method's own task, scored on its training batches of the last epoch, beside what guessing scores."
    return [*found, ("pretext", asked)]


def budget(board: Board) -> str:
    """Seeds and samples that stand behind the table's numbers."""
    rows = [row for line in board.lines for row in line.rows.values() if not line.baseline]
    samples = sorted({row.samples for row in rows if row.samples})
    seeds = sorted({row.seeds for row in rows})
    if not rows:
        return "No number counts yet."
    seen = f"{samples[0]:,}" if samples else "0"
    seen += f" to {samples[-1]:,}" if len(samples) > 1 else ""
    count = "1 seed" if seeds == [1] else f"{' to '.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds"
    return f"Mean ± standard deviation over {count}; {seen} samples seen in pretraining."


def notes(board: Board) -> list[str]:
    """What failed, is stale or is missing: a line a reason, with the methods it is true of."""
    found: dict[str, list[str]] = {}
    for line in board.lines:
        for note in (
            line.notes if line.seeds else ["not in `run` of params.yaml, so one side of the frame is missing"]
        ):
            found.setdefault(note, []).append(line.method)
    return [f"{', '.join(methods)}: {note}" for note, methods in found.items()]


def verdict(board: Board, corpus: str) -> str:
    """Which encoder is best, in a sentence that goes no further than the seeds carry it."""
    headline = board.headline
    judged = {line.method: line.rows[headline] for line in board.lines if headline in line.rows}
    ours = [row for name, row in judged.items() if name not in BASELINES and not row.baseline]
    if not ours:
        return f"On {corpus}, no self-supervised method has been judged yet."
    names = {row.method: captions.method(board.modality, row.method)[0] for row in ours}
    first, others = ours[0], ours[1:]
    near = [
        row
        for row in others
        if row.merit == first.merit or (first.std is not None and not beyond(first, row))
    ]
    said = _standing(board, judged, first, near, names)
    numbers = [_valued(headline.task, first)]
    numbers += [_valued(names[row.method], row) for row in near if headline not in board.best]
    numbers += [_valued(name, judged[name]) for name in BASELINES if name in judged]
    numbers += [_valued(name, row) for name, row in judged.items() if row.baseline]
    return f"On {corpus}, {said}: {', '.join(numbers)}."


def _standing(
    board: Board, judged: dict[str, Row], first: Row, near: Sequence[Row], names: dict[str, str]
) -> str:
    """Where the first encoder stands beside an untrained one, then beside the others, then beside baselines."""
    whose, random = _whose(names[first.method]), judged.get("random")
    ahead = [name for name, row in judged.items() if row.baseline and not beyond(first, row)]
    with_near = " and ".join(names[row.method] for row in near)
    if board.headline in board.best:
        return f"{whose} is the best self-supervised encoder"
    if random is None:
        return f"nothing says what an untrained encoder is worth; {whose} comes first"
    if first.merit < random.merit:
        return f"no self-supervised encoder reaches an untrained one; {whose} comes nearest"
    if first.merit == random.merit:
        return f"{whose} encoder is level with an untrained one"
    if first.std is None or random.std is None:
        level = f", level with {with_near}" if near else ""
        return (
            f"{whose} encoder scores highest{level}, but one seed cannot say whether that is more than luck"
        )
    if not beyond(first, random):
        return f"no encoder is beyond the spread of an untrained one; {whose} comes first"
    if near:
        return f"{whose} encoder is ahead, but within the spread of {with_near}"
    if ahead:
        return f"{whose} is the best self-supervised encoder, but not beyond {' and '.join(ahead)}, without an encoder"
    return f"{whose} encoder is ahead of an untrained one"


def _whose(name: str) -> str:
    return name + ("'" if name.endswith("s") else "'s")


def _valued(name: str, row: Row) -> str:
    return f"{name} {short(row.mean)}" + ("" if row.std is None else f" ± {bare(row.std)}")
