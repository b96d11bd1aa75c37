"""Where videos come from: a folder or a zip with video files, and folders of numbered pictures that are one video each.

What is beside them: labels/<video>/<frame>.png or <sequence>/masks/<frame>.png are masks, joints.csv has joints.
Walking, zips, class folders and label files are those of pictures.
"""

import csv
import io
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from modalities.common.files import zipped
from modalities.image.reading import layout, sources
from modalities.image.reading.decode import Refused as PictureRefused
from modalities.image.reading.sources import Item
from modalities.video.reading.reasons import Reason, Refused

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm")
NUMBERED = re.compile(r"\d+")
MASKS = ("masks", "labels", "Annotations", "annotations")
FRAMES = ("frames", "images")  # a folder of this name is called by the one it lies in
RECORDING = re.compile(r"(.*_g\d+)_c\d+")  # UCF101's and HMDB's names: v_Biking_g05_c02
JOINTS = "joints.csv"


class Rejection(NamedTuple):
    """A row of rejected.csv."""

    file: str
    reason: Reason
    detail: str


class Joint(NamedTuple):
    """One place in one frame, in pixels of the source."""

    frame: int
    joint: str
    x: float
    y: float


@dataclass(frozen=True)
class Video:
    """One video before it is read: a file, numbered pictures, or what else its `kind` can make of `key`."""

    key: Any  # of a file, what the reader takes; of a sequence the number and key of each frame
    masks: dict[int, Any] = field(default_factory=dict)  # by number of the source frame
    joints: tuple[Joint, ...] = ()


@dataclass
class Source:
    """All that is known before anything is decoded. Items are those of pictures, with a Video as their key."""

    items: list[Item]
    reader: "Reader | Any"
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """Gets at the files of a folder, or of a zip, from any process."""

    root: Path

    @contextmanager
    def path(self, key: Any, scratch: Path) -> Iterator[Path]:
        """A file that decoders can open: that of the folder itself, or one unpacked for as long as it is needed."""
        if self.root.is_dir():
            yield self.root / key
            return
        opened = zipped(self.root)
        member = opened.infolist()[key]
        unpacked = scratch / f"member-{key}{PurePosixPath(member.filename).suffix}"
        try:
            with opened.open(member) as packed, unpacked.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
            yield unpacked
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise Refused(Reason.UNREADABLE, str(error) or type(error).__name__) from None
        finally:
            unpacked.unlink(missing_ok=True)

    def bytes(self, key: Any) -> bytes:
        reader = sources.FolderReader(self.root) if self.root.is_dir() else sources.ZipReader(self.root)
        try:
            return reader(key).hashed
        except PictureRefused as error:
            raise Refused(Reason.UNREADABLE, error.detail) from None


def find(root: Path, labels: str, text: str | None) -> Source:
    """Every video in a folder or a zip, by name; `text` is that of the label file, if `labels` names one."""
    found = sources.folder(root) if root.is_dir() else sources.archive(root)
    pictures: dict[str, dict[int, Any]] = defaultdict(dict)  # folder -> number -> key
    items, loose = [], 0
    for item in found.items:
        folder, _, name = item.name.rpartition("/")
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
        if suffix not in PICTURES:
            items.append(Item(Video(item.key), item.name, group=_recording(item.name)))
        elif NUMBERED.fullmatch(stem):
            pictures[folder][int(stem)] = item.key
        else:
            loose += 1
    masks = {folder: members for folder, members in pictures.items() if _of_masks(folder)}
    for folder, members in pictures.items():
        if folder not in masks and len(members) > 1:
            items.append(Item(Video(tuple(sorted(members.items()))), _sequence(folder)))
        elif folder not in masks:
            loose += len(members)
    joints = _joints(root)
    taken = [_marked(item, masks, joints) for item in items]
    source = sources.Source(sorted(taken, key=lambda item: item.name), sources.FolderReader(root))
    source.rejected, source.notes = found.rejected, found.notes
    layout.by_folders(source, labels == "folders")
    if text is not None:
        layout.by_csv(source, text, labels)
    if loose:
        source.notes.append(f"{loose} pictures that are not frames of a sequence left out")
    rejected = [Rejection(file, Reason(reason.value), detail) for file, reason, detail in source.rejected]
    return Source(source.items, Reader(root), rejected, source.notes)


def _recording(name: str) -> str | None:
    found = RECORDING.fullmatch(PurePosixPath(name).stem)
    return found[1] if found else None


def _of_masks(folder: str) -> bool:
    return any(part in MASKS for part in folder.split("/"))


def _sequence(folder: str) -> str:
    """What a folder of frames is called: without a last `frames`, or what DAVIS puts before its own."""
    parts = folder.split("/")
    if "JPEGImages" in parts[:-1]:
        return parts[-1]
    return "/".join(parts[:-1] if parts[-1] in FRAMES and len(parts) > 1 else parts)


def _marked(item: Item, masks: dict[str, dict[int, Any]], joints: dict[str, list[Joint]]) -> Item:
    """The same with its masks and joints, whatever of the usual places they lie in."""
    bare = (
        item.name if isinstance(item.key.key, tuple) else item.name[: -len(PurePosixPath(item.name).suffix)]
    )
    found = next(
        (members for folder, members in masks.items() if _belongs(folder, bare.split("/"))), dict[int, Any]()
    )
    placed = joints.get(item.name, joints.get(bare, []))
    if not found and not placed:
        return item
    video = Video(item.key.key, found, tuple(placed))
    return Item(video, item.name, item.label, item.split, item.group)


def _belongs(folder: str, video: list[str]) -> bool:
    """labels/a/b for a/b.mp4, a/b/masks for the sequence a/b, Annotations/480p/b for b."""
    parts = folder.split("/")
    if parts[-1] in MASKS:
        return parts[:-1] == video
    where = next(k for k, part in enumerate(parts) if part in MASKS)
    rest = parts[:where] + parts[where + 1 :]
    return rest == video or (parts[where] == "Annotations" and rest[-1:] == video)


def _joints(root: Path) -> dict[str, list[Joint]]:
    """What joints.csv says, by file. Its columns are file,frame,joint,x,y; frames and pixels count from 0."""
    name = JOINTS
    if root.is_dir():
        if not (root / name).is_file():
            return {}
        text = (root / name).read_text("utf-8-sig")
    else:
        opened = zipped(root)
        if name not in opened.namelist():
            return {}
        text = opened.read(name).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = {"file", "frame", "joint", "x", "y"} - set(rows.fieldnames or [])
    if missing:
        raise ValueError(f"{name} lacks the column {min(missing)}; it needs file,frame,joint,x,y")
    found: dict[str, list[Joint]] = defaultdict(list)
    for row in rows:
        try:
            joint = Joint(int(row["frame"]), row["joint"], float(row["x"]), float(row["y"]))
        except (TypeError, ValueError):
            raise ValueError(
                f"{name}, line {rows.line_num}: frame, x and y are {row['frame']!r}, {row['x']!r}, {row['y']!r}; "
                "use a whole number and two numbers"
            ) from None
        found[row["file"]].append(joint)
    return dict(found)


def read_csv(root: Path, labels: str) -> str:
    """The label file, beside the videos or from where this runs."""
    for path in (root / labels if root.is_dir() else root.parent / labels, Path(labels).expanduser()):
        if path.is_file():
            try:
                return path.read_text("utf-8-sig")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    raise FileNotFoundError(f"video.ingest.labels is {labels}; there is no such file, here or in {root}")
