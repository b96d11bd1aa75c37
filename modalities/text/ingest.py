"""Ingest text: read every file once, clean it, cut it into sentences, leave copies out, write a memory-mapped corpus.

out/ gets text.utf8, documents.parquet (id, source, title, label, split, summary, start, stop, first, sentences, words,
bytes), sentences.parquet, duplicates.parquet (dropped, kept, kind, similarity), rejected.csv (file, reason, detail),
meta.json, and tasks/NAME/ for each further set. Rows are in the order of their ids, the SHA-256 of each cleaned text,
so the same files give the same bytes, in however many processes.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modalities.text.reading import duplicates, gather, judged, writing
from modalities.text.reading.carried import READ
from modalities.text.reading.document import Document
from modalities.text.reading.duplicates import Duplicate
from modalities.text.reading.gather import How
from modalities.text.reading.reasons import Reason, Rejection


def ingest(
    source: str,
    out: Path,
    *,
    tasks: dict[str, str],
    encodings: list[str],
    labels: bool,
    splits: dict[str, float],
    task_test: float,
    blank_lines: int,
    min_words: int,
    most_words: int,
    near: float,
    boilerplate: int,
    max_rejected: float,
    limit: int,
    task_limit: int,
) -> None:
    """Read `source` and each of `tasks`, and fill the folder `out`.

    Raises ValueError where a source cannot be used as it is, FileNotFoundError where it is not there, and
    ConnectionError where it could not be fetched.
    """
    _check(
        splits,
        task_test,
        near,
        max_rejected,
        {"min_words": min_words, "most_words": most_words, "limit": limit},
    )
    out.mkdir(parents=True, exist_ok=True)
    held: dict[str, Sequence[str]] = {}
    how = How(encodings, blank_lines, 0, True, task_limit)
    for name, where in sorted(tasks.items()):
        held[name] = _task(name, where, out / "tasks" / name, how, {"test": task_test}, near, max_rejected)
    how = How(encodings, blank_lines, most_words, labels, limit)
    found = gather.find(source, how, "text.ingest.source")
    total = len(found.items) + len(found.rejected)
    made = gather.clean(found, how, splits, "ingest")
    gather.judge(source, "text.ingest.source", found.rejected, total, max_rejected)
    kept, copies = duplicates.exact(made)
    kept, gone = duplicates.boilerplate(kept, boilerplate)
    if gone:
        found.notes.append(f"{gone:,} sentences left out that more than {boilerplate} documents have")
    kept = _long(kept, min_words, found.rejected)
    kept, similar = duplicates.near(kept, near)
    leaked = duplicates.leaks(kept, held)
    found.rejected += [
        Rejection(kept[k].name, Reason.LEAK, f"task {name}") for k, name in sorted(leaked.items())
    ]
    kept = [document for k, document in enumerate(kept) if k not in leaked]
    if not kept:
        why = gather.reasons(found.rejected)
        raise ValueError(f"no document of {source} is left ({why}); see text.ingest, min_words above all")
    kept, notes = _judgeable(kept)
    _finish(out, kept, found.rejected, copies + similar, found.notes + notes, source, found.about)


def _check(splits: dict[str, float], test: float, near: float, most: float, counts: dict[str, int]) -> None:
    if set(splits) != {"valid", "test"} or min(splits.values()) < 0 or sum(splits.values()) >= 1:
        raise ValueError(
            f"text.ingest.splits is {splits}; use valid and test, shares that leave some to train on"
        )
    for name, value in (("task_test", test), ("max_rejected", most)):
        if not 0 <= value <= 1:
            raise ValueError(f"text.ingest.{name} is {value}; use a share from 0 to 1")
    if not near >= 0.5:
        raise ValueError(f"text.ingest.near is {near}; use a share from 0.5 to 1, or 2 to keep near copies")
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"text.ingest.{name} is {count}; use 0 for no limit, or a positive number")


def _long(documents: Sequence[Document], least: int, rejected: list[Rejection]) -> list[Document]:
    kept = []
    for document in documents:
        if document.words >= max(least, 1):
            kept.append(document)
        else:
            detail = f"{document.words}, fewer than {max(least, 1)}"
            rejected.append(Rejection(document.name, Reason.SHORT, detail))
    return kept


def _judgeable(documents: Sequence[Document]) -> tuple[list[Document], list[str]]:
    """Labels that something can be judged by: classes of the training split, two or more, that are met again in test.

    What is no such class is no label; and nothing is, where the test split has fewer than two.
    """
    seen = {split: {d.label for d in documents if d.split == split} - {None} for split in ("train", "test")}
    every = {document.label for document in documents} - {None}
    good = every & seen["train"]
    notes = []
    if every and len(good & seen["test"]) < 2:
        good = set()
        notes.append(
            f"{len(every)} labels were left out: the test split has none, or one, that the training split has"
        )
    elif every - good:
        notes.append(f"{len(every - good)} labels were left out that no training document has")
    return [d if d.label in good else d._replace(label=None) for d in documents], notes


def _task(
    name: str, source: str, out: Path, how: How, shares: dict[str, float], near: float, max_rejected: float
) -> Sequence[str]:
    """Write one further set; returns the texts of its test split. Even its shortest texts are kept."""
    key = f"text.ingest.tasks.{name}"
    path = Path(source).expanduser().absolute()
    table = judged.tabular(path, how.encodings) if source not in READ and path.exists() else None
    if table is not None:
        kind, columns, rejected = table
        count = len(next(iter(columns.values())))
        gather.judge(source, key, rejected, count + len(rejected), max_rejected)
        out.mkdir(parents=True)
        writing.table(out / "table.parquet", columns)
        writing.rejections(out / "rejected.csv", rejected)
        writing.meta(out / "meta.json", {"kind": kind, "count": count, "source": source, "classes": []})
        print(f"task {name}: {count} {kind}, {len(rejected)} rejected")
        if kind != "pairs":
            return []
        rows = zip(columns["a"], columns["b"], columns["split"], strict=True)
        return [text for a, b, split in rows if split == "test" for text in (a, b)]
    found = gather.find(source, how, key)
    total = len(found.items) + len(found.rejected)
    made = gather.clean(found, how, shares, f"task {name}")
    gather.judge(source, key, found.rejected, total, max_rejected)
    kept, copies = duplicates.exact(made)
    kept, similar = duplicates.near(_long(kept, 1, found.rejected), near)
    kept, notes = _judgeable(kept)
    if not any(document.label or document.summary for document in kept):
        raise ValueError(
            f"{key} is {source}, which has nothing to judge by: no label of two classes in both splits, no summary, "
            "no scored pairs; name its columns text and label, or take it out"
        )
    _finish(out, kept, found.rejected, copies + similar, found.notes + notes, source, found.about, name)
    return [document.text for document in kept if document.split == "test"]


def _finish(
    out: Path, kept: Sequence[Document], rejected: list[Rejection], copies: list[Duplicate], notes: list[str],
    source: str, about: dict[str, str], task: str = "",
) -> None:  # fmt: skip
    fingerprint = writing.write(out, kept)
    writing.rejections(out / "rejected.csv", rejected)
    writing.copies(out / "duplicates.parquet", copies)
    splits = Counter(document.split for document in kept)
    meta: dict[str, Any] = {
        "kind": "documents",
        "classes": sorted({document.label for document in kept if document.label is not None}),
        "count": len(kept),
        "train": splits["train"],
        "valid": splits["valid"],
        "test": splits["test"],
        "sentences": sum(len(part) for document in kept for part in document.paragraphs),
        "words": sum(document.words for document in kept),
        "source": source,
        "fingerprint": fingerprint,
        "rejected": len(rejected),
        "duplicates": len(copies),
        "about": about or {"title": Path(source).stem},
        "notes": notes,
    }
    writing.meta(out / "meta.json", meta)
    what = f"task {task}: {len(meta['classes'])} classes, " if task else ""
    print(
        f"{what}{meta['count']:,} documents ({meta['train']:,} train, {meta['valid']:,} valid, {meta['test']:,} test), "
        f"{meta['sentences']:,} sentences, {meta['words']:,} words; {len(rejected)} rejected, {len(copies)} duplicates"
    )
    for note in notes:
        print(f"note: {note}")
