"""Files of a folder or a zip that someone else filled: walked safely, named so that any name can be written down."""

import os
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath


def walk(root: Path, failed: Callable[[str, str], None]) -> Iterator[os.DirEntry[str]]:
    """What lies below a folder and is none itself; hidden files are left out. `failed(name, why)` hears of errors.

    Links are followed, but no folder is read twice, so a walk through links in a circle ends. Linked folders come
    last, so that a file goes by its real path where it has one.
    """
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
                    (e for e in entries if not hidden(e.name)), key=lambda e: e.name, reverse=True
                )
        except OSError as error:
            failed(printable(here[len(str(root)) + 1 :]) or ".", why(error))
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


def hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def why(error: Exception) -> str:
    """What an error says, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
