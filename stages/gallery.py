"""Samples as each encoder sees them: a map of the test split and the training samples nearest to some queries.

The same samples for every method, of the first seed that counts, on the set that the headline speaks of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import modalities
from stages import maps, sheet, store
from stages.leaderboard import Board
from stages.results import Run

POINTS = 400  # samples on a map, at most
CLASSES = 10  # and classes: more cannot be told apart
QUERIES, NEIGHBOURS = 5, 6
BANK = 20_000  # training samples that are searched, at most
Neighbours = tuple[int, list[tuple[int, bool | None]]]  # a query's tile, and tiles that are right or wrong


@dataclass(frozen=True)
class Chosen:
    """Rows of a corpus."""

    classes: list[int]  # that maps show, the commonest first; empty where nothing has a label
    points: maps.Index
    queries: maps.Index  # some of the points, of as many classes as there are
    bank: maps.Index


@dataclass(frozen=True)
class Drawn:
    """What one encoder makes of them. Tiles are numbers of pictures, or texts, of the gallery."""

    method: str
    places: maps.Vectors  # (points, 2)
    neighbours: list[Neighbours]

    @property
    def right(self) -> tuple[int, int]:
        """How many neighbours are of their query's class, of how many that have one."""
        marks = [mark for _, found in self.neighbours for _, mark in found if mark is not None]
        return sum(marks), len(marks)


@dataclass(frozen=True)
class Gallery:
    """The first tiles are the points of the maps, in their order."""

    of: str  # the further labelled set, or "" for the corpus itself
    classes: list[str]  # that maps show
    total: int  # classes that there are
    points: int
    names: list[str]  # the class of each tile, "" where unknown
    texts: list[str]  # what each tile says; empty where tiles are pictures
    sheet: sheet.Sheet | None
    drawn: list[Drawn]

    def look(self, tile: int) -> str:
        """What stands on a tile, or where its picture lies."""
        return self.sheet.place(tile) if self.sheet else self.texts[tile]

    @property
    def about(self) -> dict[str, Any]:
        """What the page's script has to know of the tiles that are points."""
        texts, names = self.texts[: self.points], self.names[: self.points]
        places = [self.sheet.place(k) for k in range(self.points)] if self.sheet else []
        return {"names": names, "texts": texts, "places": places}


def gallery(board: Board, runs: Sequence[Run]) -> Gallery | None:
    """None where no encoder of this modality has left features."""
    of = board.headline.task.partition(" (")[2].rstrip(")")
    first: dict[str, Run] = {}
    for run in runs:
        if run.digest and not run.problems and (features_of(run, of) / "features.safetensors").exists():
            first.setdefault(run.method, run)
    if not first:
        return None
    corpus: Any = modalities.corpus(board.modality)(store.corpus_path(board.modality))
    corpus = corpus.tasks()[of] if of else corpus
    chosen = choose(corpus)
    tiles = {int(row): k for k, row in enumerate(chosen.points)}
    points = [store.load_rows(features_of(run, of), chosen.points, len(corpus)) for run in first.values()]
    drawn = []
    for run, mine, places in zip(first.values(), points, maps.every(points), strict=True):
        bank = store.load_rows(features_of(run, of), chosen.bank, len(corpus))
        drawn.append(Drawn(run.method, places, neighbours(mine, bank, corpus, chosen, tiles)))
    rows = np.array(list(tiles), np.int64)
    names = [corpus.classes[label] if label >= 0 else "" for label in corpus.labels[rows]]
    shown = corpus.show(rows)
    text = isinstance(shown[0], str)
    return Gallery(
        of=of,
        classes=[corpus.classes[k] for k in chosen.classes],
        total=len(np.unique(corpus.labels[corpus.labels >= 0])),
        points=len(chosen.points),
        names=names,
        texts=shown if text else [],
        sheet=None if text else sheet.sheet(shown),
        drawn=drawn,
    )


def choose(corpus: Any) -> Chosen:
    """Drawn once for all methods, from a fixed seed: the map of a method changes with its encoder alone."""
    rng = np.random.default_rng(0)
    test, train = (np.flatnonzero(corpus.splits == split) for split in ("test", "train"))
    test = test if len(test) else np.arange(len(corpus))
    labelled = test[corpus.labels[test] >= 0]
    counts = Counter(corpus.labels[labelled].tolist())
    classes = sorted(counts, key=lambda label: (-counts[label], label))[:CLASSES]
    pool = labelled[np.isin(corpus.labels[labelled], classes)] if classes else test
    points = np.sort(rng.choice(pool, min(POINTS, len(pool)), replace=False))
    by_class = [rng.permutation(points[corpus.labels[points] == label]) for label in classes]
    rounds = by_class or [rng.permutation(points)]
    turns = [part[k] for k in range(QUERIES) for part in rounds if k < len(part)]
    known = train[corpus.labels[train] >= 0]
    bank = known if classes and len(known) else train
    bank = bank if len(bank) else np.arange(len(corpus))
    if len(bank) > BANK:
        bank = bank[np.linspace(0, len(bank) - 1, BANK).astype(np.int64)]
    return Chosen(classes, points, np.array(turns[:QUERIES], np.int64), bank)


def features_of(run: Run, of: str) -> Path:
    return store.features_path(run.modality, run.method, run.seed) / of


def neighbours(
    points: maps.Vectors, bank: maps.Vectors, corpus: Any, chosen: Chosen, tiles: dict[int, int]
) -> list[Neighbours]:
    """Those of the queries; rows that have no tile yet are given the next number."""
    queries = np.searchsorted(chosen.points, chosen.queries)
    near = chosen.bank[maps.nearest(points[queries], bank, NEIGHBOURS + 1)]
    found = []
    for query, others in zip(chosen.queries, near, strict=True):
        rows = [int(row) for row in others if row != query][:NEIGHBOURS]
        label = corpus.labels[query]
        marks = [bool(corpus.labels[row] == label) if label >= 0 else None for row in rows]
        own = [tiles.setdefault(row, len(tiles)) for row in rows]
        found.append((tiles[int(query)], list(zip(own, marks, strict=True))))
    return found
