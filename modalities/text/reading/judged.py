"""Further sets that encoders are judged on: labelled documents, scored pairs of sentences or words, analogies.

What a source holds is told by its columns: two texts and a score are pairs, two words and a score are words; lines of
four words under ": group" are analogies; all else is documents.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modalities.common import files
from modalities.text.corpus import COLUMNS
from modalities.text.reading import sources, tables
from modalities.text.reading.decode import decode
from modalities.text.reading.reasons import Reason, Refused, Rejection

Columns = dict[str, list[Any]]
SCORED = re.compile(r"^(\S+)[\t ,]+(\S+)[\t ,]+(-?\d+(?:\.\d+)?)\s*$")


def tabular(path: Path, encodings: Sequence[str]) -> tuple[str, Columns, list[Rejection]] | None:
    """(kind, columns, rejected rows) of a source that is no set of documents; None for one that is."""
    if path.is_file() and path.suffix.lower() in (".txt", ".tsv", ".csv"):
        text, _ = decode(sources.load(str(path.parent), path.name), encodings)
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if lines and lines[0].startswith(":"):
            return "analogies", *_analogies(path.name, lines)
        if lines and sum(bool(SCORED.match(line)) for line in lines[:50]) > 0.9 * len(lines[:50]):
            return "words", *_words(path.name, lines)
    return _pairs(path, encodings)


def _analogies(name: str, lines: Sequence[str]) -> tuple[Columns, list[Rejection]]:
    """Lines of four words under ": group"."""
    out: Columns = {column: [] for column in COLUMNS["analogies"]}
    bad, group = [], ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words[0].startswith(":"):
            group = line.strip(": \t")
        elif len(words) == 4:
            for column, value in zip(COLUMNS["analogies"], [group, *words], strict=True):
                out[column].append(value)
        else:
            bad.append(Rejection(f"{name}:{number}", Reason.FIELDS, f"{len(words)} words, not 4"))
    return out, bad


def _words(name: str, lines: Sequence[str]) -> tuple[Columns, list[Rejection]]:
    """Lines of two words and a number; a header is no such line."""
    out: Columns = {column: [] for column in COLUMNS["words"]}
    bad = []
    for number, line in enumerate(lines, 1):
        found = SCORED.match(line)
        if found:
            for column, value in zip(COLUMNS["words"], (found[1], found[2], float(found[3])), strict=True):
                out[column].append(value)
        elif number > 1:
            bad.append(Rejection(f"{name}:{number}", Reason.FIELDS, "not two words and a number"))
    return out, bad


def _pairs(path: Path, encodings: Sequence[str]) -> tuple[str, Columns, list[Rejection]] | None:
    found = sources.Source()
    root = str(path if path.is_dir() or path.suffix.lower() == ".zip" else path.parent)
    names = sorted(sources.listing(path, found.rejected))
    out: Columns = {column: [] for column in COLUMNS["pairs"]}
    for name in names:
        if not name.lower().endswith(tables.SUFFIXES):
            continue
        try:
            _, rows = sources.opened(root, name, encodings, found)
        except Refused as why:
            found.rejected.append(Rejection(files.printable(name), why.reason, why.detail))
            continue
        for where, row in rows:
            have = tables.columns(list(row))
            if not {"a", "b", "score"} <= set(have) or "text" in have:
                return None
            _pair(out, where, row, have, tables.split_of(name), found.rejected)
    if not out["a"]:
        return None
    single = all(not re.search(r"\s", text.strip()) for column in ("a", "b") for text in out[column])
    kind = "words" if single else "pairs"
    return kind, {column: out[column] for column in COLUMNS[kind]}, found.rejected


def _pair(
    out: Columns, where: str, row: tables.Row, have: dict[str, str], split: str | None, bad: list[Rejection]
) -> None:
    try:
        score = float(row[have["score"]])
    except (TypeError, ValueError):
        bad.append(Rejection(where, Reason.VALUE, f"a score of {row[have['score']]!r}"[:80]))
        return
    a, b = (" ".join(str(row[have[key]] or "").split()) for key in ("a", "b"))
    if not a or not b:
        bad.append(Rejection(where, Reason.NO_TEXT, "one of two texts is empty"))
        return
    official = tables.SPLITS.get(str(row.get(have.get("split", ""), "")).lower(), split)
    for column, value in zip(COLUMNS["pairs"], (a, b, score, official or "test"), strict=True):
        out[column].append(value)
