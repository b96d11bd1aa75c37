"""Write documents as a corpus folder, the same bytes for the same documents."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modalities.text.reading.document import Document
from modalities.text.reading.duplicates import Duplicate
from modalities.text.reading.reasons import Rejection


def write(out: Path, documents: Sequence[Document]) -> str:
    """text.utf8, documents.parquet and sentences.parquet, rows by id; returns a fingerprint of all that they hold."""
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("id", "source", "title", "label", "split", "summary", "start", "stop", "first",
                              "sentences", "words", "bytes")
    }  # fmt: skip
    sentences: dict[str, list[Any]] = {
        name: [] for name in ("id", "document", "paragraph", "start", "stop", "words")
    }
    text = bytearray()
    for row, document in enumerate(sorted(documents, key=lambda each: (each.id, each.name))):
        start, first = len(text), len(sentences["id"])
        for number, paragraph in enumerate(document.paragraphs):
            text += b"\n\n" if number else b""
            for k, sentence in enumerate(paragraph):
                text += b" " if k else b""
                data = sentence.encode()
                _add(
                    sentences, id=f"{document.id}:{len(sentences['id']) - first:05d}", document=row, paragraph=number,
                    start=len(text), stop=len(text) + len(data), words=sentence.count(" ") + 1,
                )  # fmt: skip
                text += data
        _add(
            rows, id=document.id, source=document.name, title=document.title, label=document.label,
            split=document.split, summary=document.summary, start=start, stop=len(text), first=first,
            sentences=len(sentences["id"]) - first, words=document.words, bytes=len(text) - start,
        )  # fmt: skip
        text += b"\n\n"
    (out / "text.utf8").write_bytes(text)
    table(out / "documents.parquet", rows)
    table(out / "sentences.parquet", sentences)
    found = hashlib.sha256(bytes(text))
    for column in ("id", "label", "split", "title", "summary", "start"):
        found.update(json.dumps(rows[column]).encode())
    found.update(json.dumps(sentences["start"]).encode())
    return found.hexdigest()[:16]


def _add(columns: dict[str, list[Any]], **row: Any) -> None:
    for name, value in row.items():
        columns[name].append(value)


def table(file: Path, columns: dict[str, list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"label": pa.string(), "title": pa.string(), "summary": pa.string(), "score": pa.float64()}
    arrays = {name: pa.array(values, kinds.get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), file, compression="zstd")


def rejections(file: Path, rejected: Sequence[Rejection]) -> None:
    with file.open("w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Rejection._fields)
        rows.writerows(sorted(rejected))


def copies(file: Path, dropped: Sequence[Duplicate]) -> None:
    ordered = sorted(dropped)
    table(file, {name: [getattr(each, name) for each in ordered] for name in Duplicate._fields})


def meta(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
