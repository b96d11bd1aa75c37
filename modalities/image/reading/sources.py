"""Where pictures come from: a list of named items, and a reader that any process can call to get one's bytes.

A folder and a zip are here; data sets that go by a name are in named.py, what paths say about labels in layout.py.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

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
    """Every regular file below a folder that may be a picture, in the order of their names.

    Links are followed, but no folder is read twice, so a walk through links in a circle ends.
    """
    found = Source([], FolderReader(root))
    special = 0
    for entry in _walk(root, found.rejected):
        key = entry.path[len(str(root)) + 1 :]
        try:
            mode = entry.stat().st_mode if entry.is_symlink() or not entry.is_file() else stat.S_IFREG
        except FileNotFoundError:
            found.rejected.append(Rejection(printable(key), Reason.MISSING, "a link to nothing"))
            continue
        except OSError as error:
            found.rejected.append(Rejection(printable(key), Reason.UNREADABLE, _why(error)))
            continue
        if not stat.S_ISREG(mode):
            special += 1  # opening a named pipe would wait for ever
        else:
            (found.items if _may_be_picture(key) else found.others).append(Item(key, printable(key)))
    if special:
        found.notes.append(f"{special} pipes, sockets or devices left out")
    found.items.sort(key=lambda item: item.name)
    return found


def _walk(root: Path, rejected: list[Rejection]) -> Iterator[os.DirEntry[str]]:
    """Files below a folder. Linked folders come last, so that a picture goes by its real path where it has one."""
    seen: set[tuple[int, int]] = set()
    folders, links = [str(root)], list[str]()
    while folders or links:
        here = folders.pop() if folders else links.pop()
        try:
            identity = Path(here).stat()
            if (identity.st_dev, identity.st_ino) in seen:
                continue
            seen.add((identity.st_dev, identity.st_ino))
            with os.scandir(here) as entries:
                visible = sorted(
                    (e for e in entries if not _hidden(e.name)), key=lambda e: e.name, reverse=True
                )
        except OSError as error:
            name = printable(here[len(str(root)) + 1 :]) or "."
            rejected.append(Rejection(name, Reason.UNREADABLE, _why(error)))
            continue
        for entry in visible:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_symlink() and _leads_to_folder(entry):
                links.append(entry.path)
            else:
                yield entry


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; the caller's stat says so
        return False


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
            raise Refused(Reason.UNREADABLE, _why(error)) from None
        return Blob(data, data, key)


def archive(path: Path) -> Source:
    """Every member of a zip that may be a picture; nothing is unpacked."""
    found = Source([], ZipReader(path))
    for number, member in enumerate(zipped(path).infolist()):
        name = member.filename.replace("\\", "/")
        linked = stat.S_ISLNK(member.external_attr >> 16)
        if member.is_dir() or linked or any(_hidden(part) for part in name.split("/") if part != ".."):
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
            raise Refused(Reason.UNREADABLE, _why(error)) from None
        return Blob(data, data, member.filename)


@lru_cache(maxsize=2)
def zipped(path: Path) -> zipfile.ZipFile:
    """One handle a process, since a file position cannot be shared."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no zip, or a broken one ({error}); pack it again") from None


def escapes(name: str) -> bool:
    """Whether a relative path leaves the folder that it starts from."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else True


def printable(name: str) -> str:
    """A file name as text: bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _may_be_picture(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return not last.endswith(OTHER_SUFFIXES) and last not in OTHER_NAMES


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{size:,} bytes exceed the limit of {MOST_BYTES:,}")


def _why(error: Exception) -> str:
    return (
        error.strerror
        if isinstance(error, OSError) and error.strerror
        else str(error) or type(error).__name__
    )
