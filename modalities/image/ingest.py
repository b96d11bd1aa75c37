"""Ingest pictures: read every file once, decode and resize it in parallel, and write a corpus that is memory-mapped.

out/ gets images-00000.npy ... (n, side, side, 3) uint8, index.parquet (id, source, label, split, height, width),
rejected.csv (file, reason, detail) and meta.json, and, where boxes, masks or several labels a picture are known,
marks.parquet and masks.npy (reading/marks.py). Rows are in the order of their ids, the SHA-256 of each file's bytes,
so the same files give the same bytes, in however many processes.
"""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalities.common import parallel
from modalities.common.progress import track
from modalities.image.reading import beside, boxes, layout, marks, masks, named, rgbd, sources
from modalities.image.reading.composed import composed as scenes
from modalities.image.reading.decode import LEAST_SIDE, Reason, Refused, decode
from modalities.image.reading.resize import Fit
from modalities.image.reading.screen import Stored, held_out, judge, reasons, sample, settle, two_classes
from modalities.image.reading.shards import Row, Slots, write
from modalities.image.reading.sources import Item, Rejection, Source

COMPOSED = "composed"


def ingest(
    source: str,
    out: Path,
    *,
    side: int,
    fit: Fit,
    labels: str,
    test: float,
    max_rejected: float,
    limit: int,
    composed: dict[str, Any],
    tasks: dict[str, Any],
) -> None:
    """Read `source` and fill the folder `out`; read each of `tasks`, the same way, into out/tasks/<its name>.

    A task is a source, or a block with `source` and other settings than these. `composed` is what the source of that
    name is made by.

    Raises ValueError where the source cannot be used as it is, FileNotFoundError where it is not there, and
    ConnectionError where it could not be fetched.
    """
    _check(side, test, max_rejected, limit)
    settings = {
        "side": side, "fit": fit, "labels": labels, "test": test, "max_rejected": max_rejected, "limit": limit,
        "composed": composed,
    }  # fmt: skip
    for name, further in tasks.items():
        where, changes = _task(name, further, settings)
        ingest(where, out / "tasks" / name, **(settings | changes), tasks={})
    if source.startswith(rgbd.PREFIX):
        return rgbd.ingest(source, out, side=side, max_rejected=max_rejected)
    found = scenes(side, test, composed) if source == COMPOSED else find(source, side, labels)
    found.items = sample(found.items, limit)
    total = len(found.items) + len(found.rejected)
    judge(source, found.rejected, total, max_rejected)
    two_classes(source, {item.label for item in found.items})
    out.mkdir(parents=True, exist_ok=True)
    slots = Slots(out.absolute() / "slots", side)
    planes = Slots(out.absolute() / "planes", side, channels=1)
    try:
        stored, refused = _decode_all(found, slots, planes, fit)
        kept, doubles = settle(stored)
        rejected = found.rejected + refused + doubles
        if not kept:
            raise ValueError(
                f"no file of {source} could be read as a picture ({reasons(rejected)}); see image.ingest"
            )
        judge(source, rejected, total, max_rejected)
        two_classes(source, {each.item.label for each in kept})
        kept.sort(key=lambda each: each.id)
        rows = [_row(each, test) for each in kept]
        fingerprint = marks.write(out, kept, planes, write(out, rows, slots, parallel.processes()))
    finally:
        slots.path.unlink(missing_ok=True)
        planes.path.unlink(missing_ok=True)
    notes = (
        found.notes + _repairs(kept) + layout.near_equal({row.label for row in rows if row.label is not None})
    )
    _write_rejected(out / "rejected.csv", rejected)
    meta = _meta(
        source, side, rows, rejected, notes, found.about or {"title": Path(source).stem}, fingerprint
    )
    (out / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")
    _tell(meta)


def _task(name: str, further: Any, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The source of a further set, and in what its settings differ."""
    if not name.isidentifier():
        raise ValueError(f"image.ingest.tasks names a set {name!r}; use letters, digits and _")
    changes = dict(further) if isinstance(further, dict) else {"source": further}
    source = changes.pop("source", None)
    for key in changes:
        if key not in settings:
            raise ValueError(f"image.ingest.tasks.{name} has {key!r}; use source, {', '.join(settings)}")
    if not isinstance(source, str):
        raise ValueError(f"image.ingest.tasks.{name} is {further!r}; name a source, or a block with one")
    return source, changes


def _check(side: int, test: float, max_rejected: float, limit: int) -> None:
    if not LEAST_SIDE <= side <= 4096:
        raise ValueError(f"image.ingest.side is {side}; use {LEAST_SIDE} to 4096 pixels")
    if not 0 <= test < 1:
        raise ValueError(f"image.ingest.test is {test}; use a share from 0 up to, but not, 1")
    if not 0 <= max_rejected <= 1:
        raise ValueError(f"image.ingest.max_rejected is {max_rejected}; use a share from 0 to 1")
    if limit < 0:
        raise ValueError(f"image.ingest.limit is {limit}; use 0 for all pictures, or a positive number")


def find(source: str, side: int, labels: str) -> Source:
    """Everything in the source, with its labels and official splits, before any picture is read."""
    table = labels.lower().endswith(".csv")
    if not table and labels not in ("folders", "none"):
        raise ValueError(f"image.ingest.labels is {labels!r}; use folders, none or the path of a .csv")
    path = Path(source).expanduser().absolute()  # the processes may start elsewhere
    files = path.is_dir() or path.suffix.lower() == ".zip"
    if files:
        found = _files(path, source)
        beside.pair(found)
        layout.by_folders(found, labels == "folders")
        if table:
            layout.by_csv(found, _read_csv(path, labels), labels)
    else:
        if table:
            raise ValueError(
                f"image.ingest.labels is {labels}; a csv goes with a folder or a zip, not with {source}"
            )
        found = _named(source, side)
    if labels == "none":
        found.items = [Item(each.key, each.name, None, each.split, each.group) for each in found.items]
    elif labels == "folders" and files and all(each.label is None for each in found.items):
        found.notes.append("no class folders, so no picture has a label")
    return found


def _files(path: Path, source: str) -> Source:
    if not path.exists():
        raise FileNotFoundError(f"image.ingest.source is {source}; there is no such file")
    found = sources.folder(path) if path.is_dir() else sources.archive(path)
    if not found.items and not found.rejected:
        raise ValueError(
            f"{source} holds no picture; put some in, or set image.ingest.source to another folder"
        )
    return found


def _named(source: str, side: int) -> Source:
    kind, _, name = source.partition(":")
    if source == "openmoji":
        return named.openmoji(side)
    if source == "digits":
        return named.digits()
    if kind == "torchvision" and name:
        return named.torchvision(name)
    if kind == "hf" and name:
        return named.hugging_face(name)
    if Path(source).is_file():
        raise ValueError(f"image.ingest.source is {source}, a single file; use a folder or a .zip")
    raise FileNotFoundError(
        f'image.ingest.source is "{source}" and there is no such folder; '
        "use a folder, a .zip, openmoji, digits, composed, torchvision:NAME, hf:NAME or rgbd:PATH"
    )


def _read_csv(root: Path, labels: str) -> str:
    """The label file, beside the pictures or from where this runs."""
    for path in (root / labels if root.is_dir() else root.parent / labels, Path(labels).expanduser()):
        if path.is_file():
            try:
                return path.read_text("utf-8-sig")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    raise FileNotFoundError(f"image.ingest.labels is {labels}; there is no such file, here or in {root}")


@dataclass(frozen=True)
class _Work:
    """What each process does with one (slot, item)."""

    source: Source
    slots: Slots
    planes: Slots  # masks
    fit: Fit

    def __call__(self, numbered: tuple[int, Item]) -> Stored | Rejection:
        slot, item = numbered
        try:
            blob = self.source.read(item.key)
            side = self.slots.side
            picture = decode(blob.picture, side, self.fit, blob.name)
            size = picture.height, picture.width
            known = None if blob.boxes is None else boxes.moved(blob.boxes, *size, side, self.fit)
            if blob.mask is not None:
                self.planes.write(slot, masks.fitted(masks.classes(blob.mask), *size, side, self.fit))
        except Refused as why:
            return Rejection(item.name, why.reason, why.detail)
        self.slots.write(slot, picture.pixels)
        name = hashlib.sha256(blob.hashed).hexdigest()[:16]
        return Stored(item, slot, name, *size, tuple(picture.notes), known, blob.mask is not None)


def _decode_all(found: Source, slots: Slots, planes: Slots, fit: Fit) -> tuple[list[Stored], list[Rejection]]:
    work = _Work(Source([], found.read), slots, planes, fit)
    stored: list[Stored] = []
    refused: list[Rejection] = []
    numbered = list(enumerate(found.items))
    with track(len(numbered), "files", "ingest") as progress:
        for chunk in parallel.each(work, numbered, parallel.processes()):
            for (_, item), result in chunk:
                if isinstance(result, Stored):
                    stored.append(result)
                elif isinstance(result, Rejection):
                    refused.append(result)
                else:
                    refused.append(Rejection(item.name, Reason.UNREADABLE, str(result)))
            progress.advance(len(chunk), f"{len(refused)} rejected")
    return stored, refused


def _row(each: Stored, test: float) -> Row:
    split = each.item.split
    if split is None:
        split = "test" if held_out(each.item.group or each.id, test) else "train"
    return Row(each.id, each.item.name, each.item.label, split, each.height, each.width, each.slot)


def _repairs(kept: Sequence[Stored]) -> list[str]:
    """What was repaired, counted, with the first file of each kind."""
    files: dict[str, list[str]] = defaultdict(list)
    for each in kept:
        for note in each.notes:
            files[note].append(each.item.name)
    return [
        f"{len(names)} picture{'s' * (len(names) > 1)}: {note} (first {min(names)!a})"
        for note, names in sorted(files.items())
    ]


def _write_rejected(path: Path, rejected: Iterable[Rejection]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Rejection._fields)
        rows.writerows(sorted(rejected))


def _meta(
    source: str,
    side: int,
    rows: Sequence[Row],
    rejected: Sequence[Rejection],
    notes: list[str],
    about: dict[str, str],
    fingerprint: str,
) -> dict[str, object]:
    splits = Counter(row.split for row in rows)
    duplicates = sum(each.reason is Reason.DUPLICATE for each in rejected)
    return {
        "classes": sorted({row.label for row in rows if row.label is not None}),
        "count": len(rows),
        "train": splits["train"],
        "test": splits["test"],
        "side": side,
        "source": source,
        "fingerprint": fingerprint,
        "rejected": len(rejected) - duplicates,
        "duplicates": duplicates,
        "about": about,
        "notes": notes,
    }


def _tell(meta: dict[str, object]) -> None:
    print(
        "{count} pictures ({train} train, {test} test), {rejected} rejected, {duplicates} duplicates".format(
            **meta
        )
    )
    for note in meta["notes"] if isinstance(meta["notes"], list) else []:
        print(f"note: {note}")
