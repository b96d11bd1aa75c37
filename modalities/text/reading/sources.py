"""Where documents come from: a folder, a zip or a file, each file a document or a table of many.

Data sets that go by a name are in carried.py and hub.py.
"""

import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

from modalities.common import files
from modalities.text.reading import tables
from modalities.text.reading.decode import decode
from modalities.text.reading.document import Record
from modalities.text.reading.parting import parts, shorter
from modalities.text.reading.reasons import Reason, Refused, Rejection

MOST_BYTES = 1 << 30  # of one file, since it is read whole
MOST_LINE = 32 << 20  # bytes of one line: what is longer is no prose, and would take the memory of a machine
OTHER = ("license", "licence", "readme", "readme.md", "readme.txt", "license.txt", "licence.txt")


class File(NamedTuple):
    """A .txt file, not yet read."""

    root: str  # the folder or the zip
    key: str
    name: str
    label: str | None
    split: str | None
    alone: bool  # the whole source: then its parts need not stay on one side


@dataclass
class Source:
    """All that is known before anything is cleaned."""

    items: list[File | Record] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


def find(path: Path, encodings: Sequence[str], labels: bool) -> Source:
    """Everything below a folder, in a zip or in a file, tables read already. Raises FileNotFoundError, ValueError."""
    found = Source()
    names = list(listing(path, found.rejected))
    texts = [name for name in names if name.lower().endswith((".txt", ".text"))]
    root = str(path if path.is_dir() or path.suffix.lower() == ".zip" else path.parent)
    classes = _classes(texts) if labels else {}
    alone = path.is_file() and len(names) == 1
    for name in sorted(texts):
        item = File(root, name, files.printable(name), classes.get(name), tables.split_of(name), alone)
        found.items.append(item)
    for name in sorted(set(names) - set(texts)):
        if name.lower().endswith(tables.SUFFIXES):
            _table(found, root, name, encodings, labels)
    return found


def listing(path: Path, rejected: list[Rejection]) -> Iterator[str]:
    """Names below a folder or in a zip, or the one file's own; what cannot be looked at goes to `rejected`."""
    if path.is_file() and path.suffix.lower() != ".zip":
        yield path.name
        return
    for name in _members(path, rejected) if path.is_file() else _files(path, rejected):
        if name.rpartition("/")[2].lower() not in OTHER:
            yield name


def _files(root: Path, rejected: list[Rejection]) -> Iterator[str]:
    def failed(name: str, why: str) -> None:
        rejected.append(Rejection(name, Reason.UNREADABLE, why))

    for entry in files.walk(root, failed):
        name = entry.path[len(str(root)) + 1 :]
        try:
            if stat.S_ISREG(entry.stat().st_mode):  # opening a named pipe would wait for ever
                yield name
        except FileNotFoundError:
            rejected.append(Rejection(files.printable(name), Reason.MISSING, "a link to nothing"))
        except OSError as error:
            failed(files.printable(name), files.why(error))


def _members(path: Path, rejected: list[Rejection]) -> Iterator[str]:
    for member in files.zipped(path).infolist():
        name = member.filename.replace("\\", "/")
        linked = stat.S_ISLNK(member.external_attr >> 16)
        if member.is_dir() or linked or any(files.hidden(part) for part in name.split("/") if part != ".."):
            continue
        if files.escapes(name):
            detail = "the zip names a path outside itself"
            rejected.append(Rejection(files.printable(name), Reason.OUTSIDE, detail))
        else:
            yield name


def _classes(names: Sequence[str]) -> dict[str, str]:
    """Labels from class folders: the folder that a file lies in, but for those that name a split."""
    folders = {name: [p for p in name.split("/")[:-1] if p.lower() not in tables.SPLITS] for name in names}
    found = {name: files.printable(inside[-1]) for name, inside in folders.items() if inside}
    return found if len(set(found.values())) > 1 else {}


def load(root: str, key: str) -> bytes:
    """The bytes of one file. Raises Refused."""
    try:
        if Path(root).is_dir():
            with Path(root, key).open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                _check(size)
                return stream.read(MOST_BYTES + 1)
        opened = files.zipped(Path(root))
        member = opened.getinfo(key)
        _check(member.file_size)
        return opened.read(member)
    except (OSError, RuntimeError, BadZipFile, NotImplementedError, EOFError, KeyError, zlib.error) as error:
        raise Refused(Reason.UNREADABLE, files.why(error)) from None


def _check(size: int) -> None:
    if size > MOST_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{size:,} bytes exceed the limit of {MOST_BYTES:,}")


def _line(data: bytes) -> None:
    """Raises Refused where a line is too long to be read as text."""
    at = 0
    while len(data) - at > MOST_LINE:
        end = max(data.rfind(b"\n", at, at + MOST_LINE), data.rfind(b"\r", at, at + MOST_LINE))
        if end < 0:
            raise Refused(Reason.TOO_LARGE, f"a line of more than {MOST_LINE >> 20} MiB, from byte {at}")
        at = end + 1


def read(file: File, encodings: Sequence[str], blank_lines: int, most_words: int) -> tuple[list[Record], str]:
    """The documents of a .txt file, and what was done to decode it. Raises Refused."""
    data = load(file.root, file.key)
    if not data:
        raise Refused(Reason.NO_TEXT, "an empty file")
    _line(data)
    text, note = decode(data, encodings)
    found = list(parts(text, blank_lines, most_words))
    many = len(found) > 1
    group = None if file.alone or not many else file.name
    return [
        Record(f"{file.name}:{k}" if many else file.name, part, title, file.label, file.split, group)
        for k, (title, part) in enumerate(found, 1)
    ], note


def _table(found: Source, root: str, name: str, encodings: Sequence[str], labels: bool) -> None:
    shown = files.printable(name)
    try:
        suffix, rows = opened(root, name, encodings, found)
        first = next(rows, None)
        if first is None:
            return
        have = tables.columns(list(first[1]))
        # The first object of JSON lines may lack what others have.
        if "text" not in have and not suffix.endswith(("jsonl", "ndjson")):
            raise Refused(Reason.NO_TEXT, f"no column of text; it has {', '.join(map(str, first[1]))}"[:200])
        split = tables.split_of(name)
        for where, row in (first, *rows):
            try:
                here = have if "text" in have else tables.columns(list(row))
                if "text" not in here:
                    raise Refused(Reason.NO_TEXT, 'no "text"')
                made = tables.record(where, row, here, split, None)
                found.items.append(made if labels else made._replace(label=None))
            except Refused as why:
                found.rejected.append(Rejection(where, why.reason, why.detail))
    except Refused as why:
        found.rejected.append(Rejection(shown, why.reason, why.detail))


def opened(
    root: str, name: str, encodings: Sequence[str], found: Source
) -> tuple[str, Iterator[tuple[str, tables.Row]]]:
    """The ending of a table and its rows; bad ones go to `found.rejected`. Raises Refused."""
    suffix, shown = Path(name).suffix.lower(), files.printable(name)
    data = load(root, name)
    if not data:
        raise Refused(Reason.NO_TEXT, "an empty file")
    text = ""
    if suffix != ".parquet":
        _line(data)
        text, note = decode(data, encodings)
        if note:
            found.notes.append(f"{shown}: {note}")
    return suffix, tables.rows(suffix, shown, data, text, found.rejected)


def cut(record: Record, most_words: int) -> list[Record]:
    """A row that is too long for one document as several, which stay on one side."""
    pieces = list(shorter(record.text, most_words))
    if len(pieces) < 2:
        return [record]
    group = record.group or record.name
    return [
        record._replace(name=f"{record.name}:{k}", text=piece, group=group, summary="")
        for k, piece in enumerate(pieces, 1)
    ]
