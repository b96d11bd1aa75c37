"""Which pictures stay: the sample, copies of one picture, and how much may be rejected."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from modalities.image.reading.boxes import Box
from modalities.image.reading.decode import Reason
from modalities.image.reading.sources import Item, Rejection


class Stored(NamedTuple):
    """A picture that was decoded and waits in its slot."""

    item: Item
    slot: int
    id: str
    height: int
    width: int
    notes: tuple[str, ...]
    boxes: tuple[Box, ...] | None = None  # as stored
    masked: bool = False


def sample(items: list[Item], limit: int) -> list[Item]:
    """At most `limit` items, those with the smallest hash of their name: mixed, and stable when others come and go."""
    if not limit or limit >= len(items):
        return items
    return sorted(items, key=lambda item: hashlib.sha256(item.name.encode()).digest())[:limit]


def held_out(name: str, test: float) -> bool:
    """Whether what goes by this name, an id or a group, is in the share `test` that a hash holds out."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) < test * 2**64


def settle(stored: Iterable[Stored]) -> tuple[list[Stored], list[Rejection]]:
    """Keep each picture once: the copy in the test split, then one with a label, then the first by name.

    Copies with different labels all go, since no one can say which is right.
    """
    copies: dict[str, list[Stored]] = defaultdict(list)
    for each in stored:
        copies[each.id].append(each)
    kept, rejected = [], []
    for same in copies.values():
        same.sort(key=lambda each: (each.item.split != "test", each.item.label is None, each.item.name))
        labels = {each.item.label for each in same} - {None}
        if len(labels) > 1:
            said = ", ".join(sorted(f'"{label}"' for label in labels))
            rejected += [
                Rejection(each.item.name, Reason.CONFLICT, f"the same bytes under {said}") for each in same
            ]
            continue
        kept.append(same[0])
        detail = f"the same bytes as {same[0].item.name}"
        rejected += [Rejection(each.item.name, Reason.DUPLICATE, detail) for each in same[1:]]
    return kept, rejected


def judge(source: str, rejected: Sequence[Rejection], total: int, max_rejected: float) -> None:
    """Raise ValueError where more than this share of the files was rejected; a duplicate is no fault."""
    faults = [each for each in rejected if each.reason is not Reason.DUPLICATE]
    if len(faults) > max_rejected * total:
        first = min(faults)
        raise ValueError(
            f"{len(faults)} of {total} files of {source} were rejected ({reasons(faults)}; first "
            f"{first.file!a}: {first.detail}), more than image.ingest.max_rejected {max_rejected}; "
            "mend or remove them, or raise it"
        )


def reasons(rejected: Sequence[Rejection]) -> str:
    counts = Counter(each.reason for each in rejected)
    return ", ".join(
        f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def two_classes(source: str, labels: set[str | None]) -> None:
    classes = labels - {None}
    if len(classes) == 1:
        raise ValueError(
            f'only one class ("{classes.pop()}") in {source}: nothing can be judged; '
            "add a second class folder, or set image.ingest.labels: none"
        )
