"""Hand an encoder on: weights, what rebuilds them, a loading example and a README, in one folder.

`python -m stages.export` takes the best self-supervised method of every modality of `run` -> artifacts/export/image;
`python -m stages.export image rotation 17` takes that one -> artifacts/picked/image-rotation-17, which no stage owns,
so that `dvc repro` does not throw it away.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from stages import captions, cli, leaderboard, page, results, store, tables
from stages.leaderboard import BASELINES, Row
from stages.results import Run

EXPORT = store.ARTIFACTS / "export"
PICKED = store.ARTIFACTS / "picked"


def export(params: cli.Params) -> list[str]:
    """The best of every modality, in one folder each. Returns what is to be said of each on the terminal."""
    runs = results.read(params)
    rows = leaderboard.rows(runs)
    said = []
    with store.writing(EXPORT) as out:
        out.mkdir(parents=True)
        for modality in dict.fromkeys(run.modality for run in runs):
            run = best(modality, runs, rows)
            if run is None:
                said.append(f"{modality}: no self-supervised method has been judged: not exported")
                continue
            write(run, out / modality, runs, rows)
            said.append(f"{modality}: {run.method}, seed {run.seed} -> {EXPORT / modality}")
    return said


def export_one(params: cli.Params, modality: str, method: str, seed: int) -> str:
    """One run by name; it need not be in `run`. Raises FileNotFoundError where it has left no encoder."""
    cli.job(params, modality, method, seed)  # answers a wrong name with the nearest right one
    run = results.read_run(params, modality, method, seed)
    if not run.about:
        folder = store.model_path(modality, method, seed)
        raise FileNotFoundError(
            f"{folder} holds no encoder; {page.command([run])} makes it, if `run` lists it"
        )
    runs = results.read(params)
    if (modality, method, seed) not in {(other.modality, other.method, other.seed) for other in runs}:
        runs.append(run)
    folder = PICKED / f"{modality}-{method}-{seed}"
    with store.writing(folder) as out:
        write(run, out, runs, leaderboard.rows(runs))
    return f"{modality}: {method}, seed {seed} -> {folder}"


def best(modality: str, runs: Sequence[Run], rows: Sequence[Row]) -> Run | None:
    """The first seed that counts of the self-supervised method with the highest mean; rows come best first."""
    mine = [row for row in rows if row.modality == modality]
    head = leaderboard.headline(row.measure for row in mine)
    for row in mine:
        if row.measure == head and row.seeds and row.method not in BASELINES and not row.baseline:
            judged = [run for run in runs if (run.modality, run.method) == (modality, row.method)]
            return next(run for run in judged if head in run.scores)
    return None


def write(run: Run, out: Path, runs: Sequence[Run], rows: Sequence[Row]) -> None:
    """The folder of one encoder."""
    example = page.TEMPLATES / "examples" / f"{run.modality}.py"
    if not example.exists():
        raise FileNotFoundError(
            f"no {example.relative_to(page.TEMPLATES.parent.parent)}; write the loading example"
        )
    out.mkdir(parents=True)
    folder = store.model_path(run.modality, run.method, run.seed)
    for name in ("encoder.safetensors", "encoder.json"):
        shutil.copyfile(folder / name, out / name)
    shutil.copyfile(example, out / "example.py")
    if run.about.get("known"):
        (out / "plain").mkdir()
        store.load_encoder(folder).export(out / "plain")
    title, sentence = captions.method(run.modality, run.method)
    readme = page.render(
        "export.md",
        run=run,
        modality=run.modality,
        title=title,
        sentence=sentence,
        numbers=numbers(run, rows),
        protocol=protocol(run, runs, rows),
        corpus=page.corpus(run.modality),
        command=page.command([run]),
    )
    (out / "README.md").write_text(readme)


def numbers(run: Run, rows: Sequence[Row]) -> list[list[str]]:
    """A line a measure that this encoder has: its own value, the method over seeds, and what frames it."""
    found = {(row.method, row.measure): row for row in rows if row.modality == run.modality}
    lines = []
    for measure in sorted(run.scores, key=leaderboard.order):
        row = found[run.method, measure]
        frame = [found.get((name, measure)) for name in BASELINES]
        spread = f" ± {tables.bare(row.std)}" if row.std is not None else ""
        lines.append(
            [
                measure.task,
                measure.metric,
                tables.short(run.scores[measure]),
                tables.short(row.mean) + spread,
                str(row.seeds),
                *(tables.short(other.mean if other else None) for other in frame),
                tables.short(row.chance),
            ]
        )
    return lines


def protocol(run: Run, runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """How each task of the table was measured, as a list; and why a number is missing, where one is."""
    board = leaderboard.board(run.modality, runs, rows)
    said = [f"{task}: {how}" for task, how in tables.protocol(board, {})]
    said += [f"Not counted, {state}: {why}." for state, why in run.problems]
    return "\n".join(f"- {line}" for line in said)


def main() -> None:
    words = sys.argv[1:]
    if len(words) not in (0, 3) or (words and not words[2].isdigit()):
        print("usage: python -m stages.export [MODALITY METHOD SEED]", file=sys.stderr)
        sys.exit(2)
    with cli.reporting():
        params = cli.load()
        said = [export_one(params, words[0], words[1], int(words[2]))] if words else export(params)
        print("\n".join(said))


if __name__ == "__main__":
    main()
