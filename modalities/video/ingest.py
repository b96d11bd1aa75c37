"""Ingest videos: decode every file once, in processes of their own, and write a corpus that is memory-mapped.

out/ gets frames-000.u8 ... (raw uint8, the frames (H, W, 3) of each video back to back), videos.parquet,
shots.parquet, masks.bin and masks.parquet, joints.parquet (where there are any), rejected.csv (file, reason, detail),
meta.json, and tasks/NAME/, the same for each further labelled set. Rows are in the order of their ids, the SHA-256 of
each file's bytes, so the same files give the same bytes, in however many processes.
"""

import json
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from modalities.common import parallel
from modalities.common.progress import track
from modalities.image.reading.layout import near_equal
from modalities.image.reading.screen import sample
from modalities.image.reading.sources import Item
from modalities.video.reading import moving as made
from modalities.video.reading import screen, sources
from modalities.video.reading.clip import LEAST_SIDE, Taken, Work
from modalities.video.reading.opening import Rule
from modalities.video.reading.reasons import COPIES, Reason
from modalities.video.reading.shards import Row, write, write_rejected
from modalities.video.reading.sources import Rejection, Source

NAMED = "moving"


def ingest(
    source: str,
    out: Path,
    *,
    fps: float,
    short_side: int,
    labels: str,
    block: int,
    test: float,
    min_seconds: float,
    max_seconds: float,
    shot_threshold: float,
    max_rejected: float,
    limit: int,
    moving: dict[str, float],
    tasks: dict[str, str],
) -> None:
    """Read `source` and fill the folder `out`, and with each of `tasks` a folder in it.

    Raises ValueError where a source cannot be used as it is, FileNotFoundError where it is not there, and
    ConnectionError where it could not be fetched.
    """
    _check(fps, short_side, test, min_seconds, max_seconds, max_rejected, limit, block)
    rule = Rule(fps, short_side, min_seconds, max_seconds, shot_threshold)
    for name, where in {"": source, **tasks}.items():
        if name and not name.isidentifier():
            raise ValueError(f"video.ingest.tasks names a set {name!r}; use letters, digits and _")
        found = find(where, labels, moving)
        found.items = sample(found.items, limit)
        one(where, found, out / "tasks" / name if name else out, rule, block, test, max_rejected)


def one(
    source: str, found: Source, out: Path, rule: Rule, block: int, test: float, max_rejected: float
) -> None:
    """Read one source whose videos are known, and write it."""
    total = len(found.items) + len(found.rejected)
    screen.judge(source, found.rejected, total, max_rejected)
    screen.two_classes(source, {item.label for item in found.items})
    out.mkdir(parents=True, exist_ok=True)
    scratch = out.absolute() / "scratch"
    scratch.mkdir()
    try:
        taken, refused = _decode_all(found, Work(found.reader, scratch, rule))
        kept, doubles = screen.settle(taken)
        groups = [screen.group(each, block) for each in kept]
        splits = [screen.side(each, recording, test) for each, recording in zip(kept, groups, strict=True)]
        stay, near = screen.apart(kept, splits) if kept else ([], [])
        rejected = found.rejected + refused + doubles + near
        if not stay:
            why = screen.reasons(rejected)
            raise ValueError(f"no file of {source} could be read as a video ({why}); see video.ingest")
        screen.judge(source, rejected, total, max_rejected)
        kept, groups, splits = [kept[k] for k in stay], [groups[k] for k in stay], [splits[k] for k in stay]
        screen.two_classes(source, {each.item.label for each in kept})
        rows, fingerprint = write(out, kept, groups, splits)
    finally:
        shutil.rmtree(scratch)
    write_rejected(out / "rejected.csv", rejected)
    notes = found.notes + _repairs(kept) + near_equal({row.label for row in rows if row.label is not None})
    about = found.about or {"title": Path(source).stem}
    meta = _meta(source, rule, rows, rejected) | {"about": about, "fingerprint": fingerprint, "notes": notes}
    (out / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")
    _tell(meta)


def _check(
    fps: float,
    short_side: int,
    test: float,
    least: float,
    most: float,
    max_rejected: float,
    limit: int,
    block: int,
) -> None:
    if not 0 < fps <= 240:
        raise ValueError(f"video.ingest.fps is {fps}; use a rate above 0 and up to 240")
    if not LEAST_SIDE <= short_side <= 4096:
        raise ValueError(f"video.ingest.short_side is {short_side}; use {LEAST_SIDE} to 4096 pixels")
    if not 0 <= test < 1:
        raise ValueError(f"video.ingest.test is {test}; use a share from 0 up to, but not, 1")
    if not 0 <= least < most:
        raise ValueError(f"video.ingest.min_seconds is {least} and max_seconds {most}; use 0 <= min < max")
    if not 0 <= max_rejected <= 1:
        raise ValueError(f"video.ingest.max_rejected is {max_rejected}; use a share from 0 to 1")
    for name, value in (("limit", limit), ("block", block)):
        if value < 0:
            raise ValueError(f"video.ingest.{name} is {value}; use 0 for none, or a positive number")


def find(source: str, labels: str, moving: Mapping[str, float]) -> Source:
    """Every video of a source, with labels and official splits, before any is read."""
    table = labels.lower().endswith(".csv")
    if not table and labels not in ("folders", "none"):
        raise ValueError(f"video.ingest.labels is {labels!r}; use folders, none or the path of a .csv")
    path = Path(source).expanduser().absolute()  # the processes may start elsewhere
    if path.is_dir() or path.suffix.lower() == ".zip":
        if not path.exists():
            raise FileNotFoundError(f"video.ingest.source is {source}; there is no such file")
        found = sources.find(path, labels, sources.read_csv(path, labels) if table else None)
    elif source == NAMED:
        found = _moving(moving)
    elif path.is_file():
        raise ValueError(f"video.ingest.source is {source}, a single file; use a folder or a .zip")
    else:
        raise FileNotFoundError(
            f'video.ingest.source is "{source}" and there is no such folder; use a folder, a .zip or {NAMED}'
        )
    if not found.items and not found.rejected:
        raise ValueError(
            f"{source} holds no video; put some in, or set video.ingest.source to another folder"
        )
    if labels == "none":
        found.items = [Item(each.key, each.name, None, each.split, each.group) for each in found.items]
    elif labels == "folders" and all(each.label is None for each in found.items):
        found.notes.append("no class folders, so no video has a label")
    return found


def _moving(block: Mapping[str, float]) -> Source:
    keys = {"clips", "seconds", "seed"}
    if set(block) != keys:
        odd = min(set(block) ^ keys)
        raise ValueError(
            f"video.ingest.moving.{odd} is {'unknown' if odd in block else 'missing'}; it has {keys}"
        )
    return made.moving(int(block["clips"]), float(block["seconds"]), int(block["seed"]))


def _decode_all(found: Source, work: Work) -> tuple[list[Taken], list[Rejection]]:
    taken: list[Taken] = []
    refused: list[Rejection] = []
    numbered = list(enumerate(found.items))
    frames, start = 0, time.monotonic()
    with track(len(numbered), "files", "ingest") as progress:
        for chunk in parallel.each(work, numbered, parallel.processes()):
            for (_, item), result in chunk:
                if isinstance(result, Taken):
                    taken.append(result)
                    frames += result.frames
                elif isinstance(result, Rejection):
                    refused.append(result)
                else:
                    refused.append(Rejection(item.name, Reason.CRASHED, str(result)))
            rate = frames / max(time.monotonic() - start, 1e-9)
            progress.advance(len(chunk), f"{rate:,.0f} frames/s, {len(refused)} rejected")
    return taken, refused


def _repairs(kept: Sequence[Taken]) -> list[str]:
    """What was out of the ordinary, counted, with the first file of each kind."""
    files: dict[str, list[str]] = defaultdict(list)
    for each in kept:
        for note in each.notes:
            files[note].append(each.item.name)
    return [
        f"{len(names)} video{'s' * (len(names) > 1)}: {note} (first {min(names)!a})"
        for note, names in sorted(files.items())
    ]


def _meta(source: str, rule: Rule, rows: Sequence[Row], rejected: Sequence[Rejection]) -> dict[str, object]:
    splits = Counter(row.split for row in rows)
    copies = sum(each.reason in COPIES for each in rejected)
    return {
        "classes": sorted({row.label for row in rows if row.label is not None}),
        "count": len(rows),
        "train": splits["train"],
        "test": splits["test"],
        "side": rule.short_side,
        "fps": rule.fps,
        "frames": sum(row.frames for row in rows),
        "source": source,
        "rejected": len(rejected) - copies,
        "duplicates": copies,
    }


def _tell(meta: dict[str, object]) -> None:
    print(
        "{count} videos ({train} train, {test} test), {frames} frames, {rejected} rejected, {duplicates} "
        "duplicates".format(**meta)
    )
    for note in meta["notes"] if isinstance(meta["notes"], list) else []:
        print(f"note: {note}")
