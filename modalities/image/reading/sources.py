"""Where pictures come from: a list of named items, and a reader that any process can call to get one's bytes.

A folder and a zip are here; data sets that go by a name are in named.py, what paths say about labels in layout.py.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from modalities.common.files import escapes, hidden, printable, walk, why, zipped
from modalities.image.reading.boxes import Box
from modalities.image.reading.decode import Reason, Refused
from modalities.image.reading.resize import Pixels

MOST_BYTES = 1 << 30  # of one file, since it is read whole
# What lies beside pictures and is none; anything else that cannot be read is reported.
OTHER_SUFFIXES = (
    ".txt",
    ".csv",
    ".tsv",
    ".md",
    ".rst",
    ".json",
    ".jsonl",
    ".xml",
    ".yaml",
    ".yml",
    ".html",
    ".htm",
)
OTHER_NAMES = ("thumbs.db", "desktop.ini", "license", "licence", "readme")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture, before it is read."""

    key: Any  # what the reader takes
    name: str  # relative to the source, "/" between folders; fit for a UTF-8 file
    label: str | None = None
    split: str | None = None  # where there is an official one
    group: str | None = None  # what must stay on one side of a hashed split; None: the picture itself
    several: tuple[str, ...] = ()  # labels, where pictures may have more than one


class Blob(NamedTuple):
    """What a reader returns: what the id is made from, what is decoded, and the name to hold against the content."""

    hashed: bytes
    picture: bytes | Pixels
    name: str
    mask: bytes | Pixels | None = None  # the class of every pixel, where it is known
    boxes: tuple[Box, ...] | None = None  # of its objects, where they are known


class Rejection(NamedTuple):
    """A row of rejected.csv."""

    file: str
    reason: Reason
    detail: str


@dataclass
class Source:
    """All that is known before anything is decoded."""

    items: list[Item]
    read: Callable[[Any], Blob]  # raises Refused; can be sent to another process
    rejected: list[Rejection] = field(default_factory=list)
    others: list[Item] = field(
        default_factory=list
    )  # what may tell of pictures that lie in a folder beside it
    notes: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


def folder(root: Path) -> Source:
    """Every regular file below a folder that may be a picture, in the order of their names."""
    found = Source([], FolderReader(root))
    special = 0

    def failed(name: str, reason: str) -> None:
        found.rejected.append(Rejection(name, Reason.UNREADABLE, reason))

    for entry in walk(root, failed):
        key = entry.path[len(str(root)) + 1 :]
        try:
            mode = entry.stat().st_mode if entry.is_symlink() or not entry.is_file() else stat.S_IFREG
        except FileNotFoundError:
            found.rejected.append(Rejection(printable(key), Reason.MISSING, "a link to nothing"))
            continue
        except OSError as error:
            found.rejected.append(Rejection(printable(key), Reason.UNREADABLE, why(error)))
            continue
        if not stat.S_ISREG(mode):
            special += 1  # opening a named pipe would wait for ever
        else:
            (found.items if _may_be_picture(key) else found.others).append(Item(key, printable(key)))
    if special:
        found.notes.append(f"{special} pipes, sockets or devices left out")
    found.items.sort(key=lambda item: item.name)
    return found


@dataclass(frozen=True)
class FolderReader:
    root: Path

    def __call__(self, key: str) -> Blob:
        try:
            handle = os.open(
                f"{self.root}/{key}", os.O_RDONLY
            )  # a third of the time of Path and a buffered file
            try:
                size = os.fstat(handle).st_size
                _check_size(size)
                data = os.read(handle, size)
            finally:
                os.close(handle)
        except OSError as error:
            raise Refused(Reason.UNREADABLE, why(error)) from None
        return Blob(data, data, key)


def archive(path: Path) -> Source:
    """Every member of a zip that may be a picture; nothing is unpacked."""
    found = Source([], ZipReader(path))
    for number, member in enumerate(zipped(path).infolist()):
        name = member.filename.replace("\\", "/")
        linked = stat.S_ISLNK(member.external_attr >> 16)
        if member.is_dir() or linked or any(hidden(part) for part in name.split("/") if part != ".."):
            continue
        if escapes(name):
            found.rejected.append(
                Rejection(printable(name), Reason.OUTSIDE, "the zip names a path outside itself")
            )
        else:
            (found.items if _may_be_picture(name) else found.others).append(Item(number, printable(name)))
    found.items.sort(key=lambda item: item.name)
    return found


@dataclass(frozen=True)
class ZipReader:
    path: Path

    def __call__(self, key: int) -> Blob:
        opened = zipped(self.path)
        member = opened.infolist()[key]
        _check_size(member.file_size)
        try:
            data = opened.read(member)
        except (
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            NotImplementedError,
            EOFError,
            zlib.error,
        ) as error:
            raise Refused(Reason.UNREADABLE, why(error)) from None
        return Blob(data, data, member.filename)


def _may_be_picture(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return not last.endswith(OTHER_SUFFIXES) and last not in OTHER_NAMES


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{size:,} bytes exceed the limit of {MOST_BYTES:,}")
