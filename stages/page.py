"""What the report's templates are given: one `Section` a modality, and how they are rendered."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from stages import confusion, cost, efficiency, figures, filters, gallery, showing, store, tables
from stages.leaderboard import RULE, Board, Row, board
from stages.results import Run
from stages.showing import Shown

TEMPLATES = Path(__file__).parent / "templates"
REJECTED_SHOWN = 50


@dataclass(frozen=True)
class Provenance:
    """What one method's rows are made of, and the command that makes them again."""

    method: str
    params: str  # YAML
    versions: str
    command: str
    runs: list[Run]


@dataclass(frozen=True)
class Section:
    """All that the templates say about one modality."""

    modality: str
    board: Board
    verdict: str
    table: str  # as Markdown
    groups: list[tables.Group]  # the table's columns, but for the pretext's
    budget: str
    protocol: list[tuple[str, str]]  # (task, how it was measured)
    troubles: list[str]  # what failed, is stale or is missing
    look: dict[str, figures.Style]
    corpus: dict[str, Any]  # meta.json, with `title`, `about`, `reasons` and the first lines of rejected.csv
    encoder: dict[str, Any]  # architecture and size that all methods share
    labels: list[Markup]
    confusions: confusion.Confusions | None
    matrices: dict[str, Markup]  # their pictures, by method
    costs: list[cost.Line]
    cost: dict[str, Markup]  # plots by what they are drawn against
    gallery: gallery.Gallery | None
    maps: dict[str, Markup]  # by method
    classes: list[tuple[str, Markup]]  # that the maps show, and the marker of each
    filters: list[filters.Filters]
    losses: list[Markup]
    health: list[Markup]
    previews: list[Shown]
    results: list[tuple[str, list[Shown]]]  # what tasks left to be looked at, by task
    judges: str  # how probes and transfers are set, YAML
    provenance: list[Provenance]


def sections(runs: Sequence[Run], rows: Sequence[Row], params: dict[str, Any]) -> list[Section]:
    """One a modality; of `params`, those of params.yaml, only the blocks of what judges encoders are read."""
    return [
        section(modality, runs, rows, params[modality])
        for modality in dict.fromkeys(run.modality for run in runs)
    ]


def section(modality: str, runs: Sequence[Run], rows: Sequence[Row], block: dict[str, Any]) -> Section:
    judges = {kind: block[kind] for kind in ("probes", "transfers") if block.get(kind)}
    mine = [run for run in runs if run.modality == modality]
    methods = list(dict.fromkeys(run.method for run in mine if not run.baseline))
    found, look, data = board(modality, mine, rows), figures.styles(methods), corpus(modality)
    about, costs = next((run.about for run in mine if run.about), {}), cost.table(found, mine)
    seen = gallery.gallery(found, mine)
    mistaken = confusion.confusions(found, mine, data.get("classes", []))
    return Section(
        modality=modality,
        board=found,
        verdict=tables.verdict(found, data["title"]),
        table=tables.markdown(found),
        groups=tables.groups(found),
        budget=tables.budget(found),
        protocol=tables.protocol(
            found, {name: each for kind in judges.values() for name, each in kind.items()}
        ),
        troubles=tables.notes(found),
        look=look,
        corpus=data,
        encoder=about.get("params", {}).get("encoder", {}) | {k: about[k] for k in ("dim",) if k in about},
        labels=[Markup(html) for html in efficiency.plots(found, look)],
        confusions=mistaken,
        matrices=plots(figures.confusions(mistaken, modality)) if mistaken else {},
        costs=costs,
        cost=plots(figures.cost(found, costs, look)),
        gallery=seen,
        maps=plots(figures.embeddings(seen, modality)) if seen else {},
        classes=legend(seen) if seen else [],
        filters=list(filters.filters(mine)),
        losses=[Markup(html) for html in figures.losses(mine, look)],
        health=[Markup(html) for html in figures.health(mine, look)],
        previews=[showing.preview(modality, method) for method in methods],
        results=list(showing.results(mine)),
        judges=as_yaml(judges),
        provenance=[
            provenance(modality, name, [run for run in mine if run.method == name]) for name in methods
        ],
    )


def plots(found: dict[str, str]) -> dict[str, Markup]:
    return {name: Markup(html) for name, html in found.items()}


def legend(found: gallery.Gallery) -> list[tuple[str, Markup]]:
    marks = figures.marks(len(found.classes))
    return [
        (name, swatch((colour, "", mark))) for name, (colour, mark) in zip(found.classes, marks, strict=True)
    ]


def corpus(modality: str) -> dict[str, Any]:
    """meta.json and what rejected.csv lists; names alone where ingest has left nothing."""
    folder = store.corpus_path(modality)
    meta = store.read_json(folder / "meta.json") if (folder / "meta.json").exists() else {}
    rejected: list[dict[str, str]] = []
    if (folder / "rejected.csv").exists():
        with (folder / "rejected.csv").open(newline="") as stream:
            rejected = list(csv.DictReader(stream))
    reasons: dict[str, int] = {}
    for row in rejected:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    about = meta.get("about") or {}
    name = about.get("title") or meta.get("source") or f"the {modality} corpus"
    return meta | {
        "title": name,
        "about": about,
        "reasons": reasons,
        "rejected_rows": rejected[:REJECTED_SHOWN],
        "rejected_total": len(rejected),
        "rejected_path": folder / "rejected.csv",
    }


def provenance(modality: str, method: str, runs: list[Run]) -> Provenance:
    about = next((run.about for run in runs if run.about), {})
    versions = sorted(about.get("versions", {}).items())
    return Provenance(
        method=method,
        params=as_yaml(about.get("params", {})),
        versions=", ".join(f"{name} {version}" for name, version in versions),
        command=command(runs),
        runs=runs,
    )


def command(runs: Sequence[Run]) -> str:
    """What makes these runs and their numbers again, with everything they stand on."""
    targets = [
        f"modalities/{run.modality}/dvc.yaml:{stage}-{run.modality}@{run.method}-{run.seed}"
        for run in runs
        for stage in ("probe", "transfer")
    ]
    return " \\\n  ".join(["dvc repro", *targets])


def as_yaml(params: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    out = StringIO()
    writer = YAML()
    writer.default_flow_style = None
    writer.dump(params, out)
    return out.getvalue()


def render(template: str, **given: Any) -> str:
    """A file of templates/, with what is given put in; .html is escaped, .md is not."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "short": tables.short,
        "bare": tables.bare,
        "breakable": breakable,
        "swatch": swatch,
    }
    return environment.get_template(template).render(given, rule=RULE)


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def swatch(look: figures.Style) -> Markup:
    """The marker that a method has in plots, for text."""
    colour = "var(--ink)" if look[0] == "#000000" else look[0]  # black is whatever text is printed in
    return Markup('<i style="color:{}" aria-hidden="true">{}</i>').format(colour, figures.GLYPHS[look[2]])
