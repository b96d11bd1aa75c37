"""A source by name or path, and its items as clean documents, in parallel where there are many."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modalities.common import parallel
from modalities.common.progress import track
from modalities.text.reading import document, sources
from modalities.text.reading.carried import READ, carried
from modalities.text.reading.document import Document, Record
from modalities.text.reading.hub import hub
from modalities.text.reading.reasons import NO_FAULT, Reason, Refused, Rejection
from modalities.text.reading.sources import File, Source

BLOCK = 256  # rows of a table that go to a process at a time
ALONE = 4 << 20  # characters that one process has cleaned before others have started

Result = tuple[list[Document], list[Rejection], list[tuple[str, str]]]  # the last: (what was mended, where)


class How(NamedTuple):
    """The settings that reading asks for, as in params.yaml, text.ingest."""

    encodings: list[str]
    blank_lines: int
    most_words: int
    labels: bool
    limit: int


def find(name: str, how: How, key: str) -> Source:
    """Items of a source, at most `limit`, with official splits that leave something to test on.

    `key` of params.yaml is named in errors: FileNotFoundError, ValueError, ConnectionError.
    """
    found = carried(name) if name in READ else None
    if found is None and name.startswith("hf:"):
        found = hub(name[3:], how.most_words)
    if found is None:
        path = Path(name).expanduser().absolute()  # the processes may start elsewhere
        if not path.exists():
            raise FileNotFoundError(
                f'{key} is "{name}" and there is no such file; use a folder, a .zip, .txt, .jsonl, .csv, .tsv or '
                f".parquet, {', '.join(READ)} or hf:NAME"
            )
        found = sources.find(path, how.encodings, how.labels)
        if not found.items and not found.rejected:
            raise ValueError(
                f"{name} holds no .txt, .jsonl, .csv, .tsv or .parquet; set {key} to another folder"
            )
    found.items = _split(_sample(found.items, how.limit))
    return found


def _sample(items: list[File | Record], limit: int) -> list[File | Record]:
    """At most `limit`, those with the smallest hash: mixed, and stable when others come and go."""
    if not limit or limit >= len(items):
        return items

    def place(item: File | Record) -> bytes:
        said = item.text if isinstance(item, Record) else item.name
        # Not the hash of the text alone, which says its split as well.
        return hashlib.sha256(b"sample " + said.encode("utf-8", "replace")).digest()

    return sorted(items, key=place)[:limit]


def _split(items: list[File | Record]) -> list[File | Record]:
    """Official splits, so that something is left to train and to test on.

    Without a training split the validation one is for training, without a test split for testing; one split alone says
    nothing, and hashes decide.
    """
    have = {item.split for item in items}
    if len(have) == 1:
        change: dict[str | None, str | None] = dict.fromkeys(have)
    elif not have & {"train", None}:
        change = {"valid": "train"}
    elif "test" not in have:
        change = {"valid": "test"}
    else:
        return items
    return [item._replace(split=change.get(item.split, item.split)) for item in items]


@dataclass(frozen=True)
class Work:
    """What a process does with a file, or with some rows of a table."""

    how: How
    shares: dict[str, float]

    def __call__(
        self, item: File | list[Record]
    ) -> tuple[list[Document], list[Rejection], list[tuple[str, str]]]:
        made: list[Document] = []
        refused: list[Rejection] = []
        notes: list[tuple[str, str]] = []
        try:
            for record in self._records(item, notes):
                try:
                    found, said = document.make(record, self.shares)
                    made.append(found)
                    notes += [(note, record.name) for note in said]
                except Refused as why:
                    refused.append(Rejection(record.name, why.reason, why.detail))
        except Refused as why:
            assert isinstance(item, File)
            refused.append(Rejection(item.name, why.reason, why.detail))
        return made, refused, notes

    def _records(self, item: File | list[Record], notes: list[tuple[str, str]]) -> list[Record]:
        if isinstance(item, list):
            return [piece for record in item for piece in sources.cut(record, self.how.most_words)]
        found, note = sources.read(item, self.how.encodings, self.how.blank_lines, self.how.most_words)
        if note:
            notes.append((note, item.name))
        return found


def clean(found: Source, how: How, shares: dict[str, float], label: str) -> list[Document]:
    """Every item as documents; what is refused goes to `found.rejected`, what was mended to `found.notes`."""
    rows = [item for item in found.items if isinstance(item, Record)]
    texts = [item for item in found.items if isinstance(item, File)]
    work = Work(how, shares)
    blocks = [rows[k : k + BLOCK] for k in range(0, len(rows), BLOCK)]
    todo: list[File | list[Record]] = [*texts, *blocks]
    made: list[Document] = []
    mended: dict[str, list[str]] = defaultdict(list)
    with track(len(texts) + len(rows), "documents", label) as progress:
        for chunk in _results(work, todo, sum(len(row.text) for row in rows) + _bytes(texts)):
            for item, result in chunk:
                if isinstance(result, parallel.Died):
                    name = item.name if isinstance(item, File) else item[0].name
                    found.rejected.append(Rejection(name, Reason.UNREADABLE, str(result)))
                    continue
                made += result[0]
                found.rejected += result[1]
                for note, name in result[2]:
                    mended[note].append(name)
            done = sum(1 if isinstance(item, File) else len(item) for item, _ in chunk)
            progress.advance(done, f"{len(found.rejected)} rejected")
    found.notes += [f"{len(n)} documents: {note} (first {min(n)!a})" for note, n in sorted(mended.items())]
    return made


def _bytes(texts: Sequence[File]) -> int:
    """About how much there is to read; in a zip, or where a file has gone, that is not looked at."""
    size = 0
    for item in texts:
        try:
            size += os.stat(f"{item.root}/{item.key}").st_size  # noqa: PTH116 (200,000 of them)
        except OSError:
            size += ALONE >> 6
    return size


def _results(
    work: Work, todo: list[File | list[Record]], size: int
) -> Iterator[Sequence[tuple[File | list[Record], Result | parallel.Died]]]:
    """Chunks of (item, result). A little text is read here: starting processes takes longer."""
    if size < ALONE:
        yield from ([(item, work(item))] for item in todo)
    else:
        yield from parallel.each(work, todo, parallel.processes())


def judge(name: str, key: str, rejected: Sequence[Rejection], total: int, most: float) -> None:
    """Raise ValueError where more than this share of files and rows was rejected; short ones are no fault.

    What is wrong in the default corpora, whose bytes are pinned, is known.
    """
    if name in READ:
        return
    faults = [each for each in rejected if each.reason not in NO_FAULT]
    if len(faults) > most * total:
        first = min(faults)
        raise ValueError(
            f"{len(faults)} of {total} files and rows of {name} were rejected ({reasons(faults)}; first "
            f"{first.file!a}: {first.detail}), more than text.ingest.max_rejected {most}; mend or remove them, or "
            f"raise it ({key})"
        )


def reasons(rejected: Sequence[Rejection]) -> str:
    counts = Counter(each.reason for each in rejected)
    return ", ".join(f"{n} {why}" for why, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
