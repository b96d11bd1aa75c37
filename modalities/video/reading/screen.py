"""Which videos stay, and on which side: copies and near copies, recordings, splits, and how much may be rejected."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from modalities.video.reading.clip import Taken
from modalities.video.reading.reasons import COPIES, Reason
from modalities.video.reading.sources import Rejection

NEAR_BITS = 4  # of 64, by which two frames of near duplicates differ at most,
NEAR_FRAMES = 4  # in so many of the five that are compared
CHUNK = 256  # test videos that are compared with all others at a time


def settle(taken: Iterable[Taken]) -> tuple[list[Taken], list[Rejection]]:
    """Keep each file once: the copy in the test split, then one with a label, then the first by name.

    Copies with different labels all go, since no one can say which is right.
    """
    copies: dict[str, list[Taken]] = defaultdict(list)
    for each in taken:
        copies[each.id].append(each)
    kept, rejected = [], []
    for same in copies.values():
        same.sort(key=lambda each: (each.item.split != "test", each.item.label is None, each.item.name))
        labels = {each.item.label for each in same if each.item.label is not None}
        if len(labels) > 1:
            said = ", ".join(f'"{label}"' for label in sorted(labels))
            rejected += [
                Rejection(each.item.name, Reason.CONFLICT, f"the same bytes under {said}") for each in same
            ]
            continue
        kept.append(same[0])
        detail = f"the same bytes as {same[0].item.name}"
        rejected += [Rejection(each.item.name, Reason.DUPLICATE, detail) for each in same[1:]]
    return sorted(kept, key=lambda each: each.id), rejected


def group(each: Taken, block: int) -> str:
    """What stays on one side: a recording by its name, or a block of neighbouring numbers, else the file alone."""
    if each.item.group:
        return each.item.group
    path = PurePosixPath(each.item.name)
    number = re.search(r"(\d+)\D*$", path.stem)
    if block and number:
        return f"{path.parent}/{path.stem[: number.start()]}{int(number[1]) // block * block}+"
    return each.id


def side(each: Taken, recording: str, test: float) -> str:
    """The official split, or one by a hash of the group: the same when other videos come and go."""
    if each.item.split is not None:
        return each.item.split
    drawn = int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big")
    return "test" if drawn < test * 2**64 else "train"


def apart(kept: Sequence[Taken], splits: Sequence[str]) -> tuple[list[int], list[Rejection]]:
    """Rows that stay: train videos that look like one of the test split go. And those that went."""
    hashes = np.array([each.seen.hashes for each in kept], np.uint64)  # (N, 5)
    test = np.flatnonzero(np.array(splits) == "test")
    train = np.flatnonzero(np.array(splits) != "test")
    gone: dict[int, int] = {}
    for k in range(0, len(test), CHUNK):
        rows = test[k : k + CHUNK]
        near = alike(hashes[train][:, None], hashes[rows][None])  # (train, chunk)
        for row in np.flatnonzero(near.any(1)):
            gone.setdefault(int(train[row]), int(rows[near[row].argmax()]))
    rejected = [
        Rejection(
            kept[row].item.name, Reason.NEAR_DUPLICATE, f"looks like {kept[other].item.name}, a test video"
        )
        for row, other in gone.items()
    ]
    return [row for row in range(len(kept)) if row not in gone], rejected


def alike(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether frames (..., 5) are those of near duplicates. Flat frames, which all look alike, say nothing."""
    flat = (np.bitwise_count(one) <= NEAR_BITS) & (np.bitwise_count(other) <= NEAR_BITS)
    same = (np.bitwise_count(one ^ other) <= NEAR_BITS) & ~flat
    return np.asarray(same.sum(-1) >= NEAR_FRAMES)


def judge(source: str, rejected: Sequence[Rejection], total: int, max_rejected: float) -> None:
    """Raise ValueError where more than this share of the files was rejected; a copy is no fault."""
    faults = [each for each in rejected if each.reason not in COPIES]
    if len(faults) > max_rejected * total:
        first = min(faults)
        raise ValueError(
            f"{len(faults)} of {total} files of {source} were rejected ({reasons(faults)}; first "
            f"{first.file!a}: {first.detail}), more than video.ingest.max_rejected {max_rejected}; "
            "mend or remove them, or raise it"
        )


def reasons(rejected: Iterable[Rejection]) -> str:
    counts = Counter(each.reason for each in rejected)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{n} {reason}" for reason, n in ordered)


def two_classes(source: str, labels: set[str | None]) -> None:
    classes = labels - {None}
    if len(classes) == 1:
        raise ValueError(
            f'only one class ("{classes.pop()}") in {source}: nothing can be judged; '
            "add a second class folder, or set video.ingest.labels: none"
        )
