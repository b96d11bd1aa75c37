"""Rows of .csv, .tsv, .jsonl and .parquet files, and what their columns are called elsewhere.

A bad row costs itself: it is named by its line. A .csv is quoted as usual; a .tsv is not, so its fields hold no tab or
newline.
"""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modalities.text.reading.document import Record
from modalities.text.reading.reasons import Reason, Refused, Rejection

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
SPLITS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}

# The first of these that a table has is the column.
NAMES: dict[str, tuple[str, ...]] = {
    "text": (
        "text",
        "paragraphs",
        "sentences",
        "content",
        "body",
        "article",
        "document",
        "sentence",
        "review",
    ),
    "label": ("label", "topic", "category", "class", "sentiment"),
    "title": ("title", "headline"),
    "split": ("split",),
    "group": ("group",),
    "summary": ("summary", "summaries", "highlights", "abstract"),
    "a": ("a", "sentence_a", "sentence1", "premise", "word1", "word 1"),
    "b": ("b", "sentence_b", "sentence2", "hypothesis", "word2", "word 2"),
    "score": ("score", "similarity", "relatedness", "similarity_score", "human (mean)"),
}

Row = dict[str, Any]


def columns(names: Sequence[str]) -> dict[str, str]:
    """What each of our columns is called in a table with these."""
    lower = {str(name).strip().lower(): name for name in names}
    found = {ours: next((lower[n] for n in theirs if n in lower), "") for ours, theirs in NAMES.items()}
    return {ours: theirs for ours, theirs in found.items() if theirs}


def rows(suffix: str, name: str, data: bytes, text: str, bad: list[Rejection]) -> Iterator[tuple[str, Row]]:
    """(where, row) of each good row; the others go to `bad`. `text` is what `data` decodes to; parquet has none."""
    if suffix == ".parquet":
        yield from _parquet(name, data)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(name, text, bad)
    else:
        yield from _separated(name, text, "\t" if suffix == ".tsv" else ",", bad)


def _separated(name: str, text: str, mark: str, bad: list[Rejection]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(sys.maxsize)
    lines = io.StringIO(text.replace("\0", ""), newline="")
    read = csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE if mark == "\t" else csv.QUOTE_MINIMAL)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            row = next(read)
        except StopIteration:
            return
        except csv.Error as error:
            bad.append(Rejection(f"{name}:{line}", Reason.FIELDS, str(error)))
            line = read.line_num + 1
            continue
        where, line = f"{name}:{line}", read.line_num + 1
        if header is None:
            header = row
        elif len(row) == len(header):
            yield where, dict(zip(header, row, strict=True))
        elif row:
            bad.append(Rejection(where, Reason.FIELDS, f"{len(row)}, the header has {len(header)}"))


def _json_lines(name: str, text: str, bad: list[Rejection]) -> Iterator[tuple[str, Row]]:
    # Not splitlines(): JSON may hold U+2028 and others at which that would cut.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.append(Rejection(where, Reason.JSON, str(error).split(":")[0]))
            continue
        if isinstance(row, dict):
            yield where, row
        else:
            bad.append(Rejection(where, Reason.JSON, f"a {type(row).__name__}"))


def _parquet(name: str, data: bytes) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise Refused(Reason.UNREADABLE, str(error).split("\n")[0]) from None
    for number, row in enumerate(table.to_pylist()):
        yield f"{name}:{number}", row


def record(where: str, row: Row, have: dict[str, str], split: str | None, group: str | None) -> Record:
    """A row as a document. Raises Refused where it has no text."""
    text = _joined(row.get(have["text"]), "\n\n")
    if not text.strip():
        raise Refused(Reason.NO_TEXT, f'"{have["text"]}" is empty' if text is not None else "no text")
    official = str(row[have["split"]]).strip().lower() if row.get(have.get("split", "")) else ""
    return Record(
        where,
        text,
        title=_joined(row.get(have.get("title", "")), " "),
        label=_label(row.get(have.get("label", ""))),
        split=SPLITS.get(official, split),
        group=_joined(row.get(have.get("group", "")), " ") or group,
        summary=_first(row.get(have.get("summary", ""))),
    )


def _joined(value: Any, mark: str) -> str:
    if isinstance(value, list):
        return mark.join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def _first(value: Any) -> str:
    """Of several summaries the first: scores here are against one."""
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, str) and each.strip()), "")
    return value if isinstance(value, str) else ""


def _label(value: Any) -> str | None:
    if value is None or isinstance(value, (list, dict, float)):
        return None
    text = " ".join(str(value).split())
    return text or None


def split_of(path: str) -> str | None:
    """The official split that a file's own name, or one of its folders', says: train.tsv, test/a.txt."""
    parts = Path(path.lower()).parts
    for part in (Path(parts[-1]).stem, *parts[:-1]):
        if part in SPLITS:
            return SPLITS[part]
    return None
