"""What paths and label files say: the class and the official split of each picture.

Folders: train/<class>/... with test/<class>/... (or val/) are official splits; else the first folder is the class.
A csv has the columns file,label and, if there is an official one, split. Where any of its labels is of the form a|b,
pictures have several: then none is the one class of a picture.
"""

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from modalities.common.files import escapes
from modalities.image.reading.decode import Reason
from modalities.image.reading.sources import Rejection, Source

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "valid", "val"),
}
FILE_COLUMNS = ("file", "path", "filename")


def split_of(word: str) -> str | None:
    """train, test or validation, however it is written; None for any other word."""
    return next((split for split, words in SPLITS.items() if word.strip().lower() in words), None)


def sides(splits: Iterable[str | None]) -> dict[str, str]:
    """Which of our two sides each official split is. Validation is held out only where there is no test."""
    have = set(splits)
    if "train" not in have or not have & {"test", "validation"}:
        return {}
    return {"train": "train", "test": "test", "validation": "train" if "test" in have else "test"}


def by_folders(source: Source, labelled: bool) -> None:
    """Set label and split of each item from its path. Changes `source`."""
    skip = _wrappers(source)
    tops = {item.name.split("/")[skip] for item in source.items if item.name.count("/") > skip}
    side = sides(split_of(top) for top in tops)
    placed, outside = [], 0
    for item in source.items:
        parts = item.name.split("/")[skip:]
        split = None
        if side:
            split = side.get(split_of(parts[0]) or "") if len(parts) > 1 else None
            parts = parts[1:]
            if split is None:
                outside += 1
                continue
        label = parts[0] if labelled and len(parts) > 1 else None
        placed.append(replace(item, label=label, split=split))
    source.items = placed
    if outside:
        source.notes.append(f"{outside} files beside the train and test folders left out")
    if side and sum(split_of(top) == "validation" for top in tops):
        source.notes.append(f"the validation folder is used as {side['validation']}")


def _wrappers(source: Source) -> int:
    """How many folders lie around the data: one alone that holds nothing but several folders is no class."""
    depth = 0
    paths = [item.name.split("/") for item in source.items]
    while paths and all(len(path) > depth + 2 for path in paths):
        if len({path[depth] for path in paths}) > 1 or len({path[depth + 1] for path in paths}) < 2:
            break
        source.notes.append(f'all files lie in the folder "{paths[0][depth]}"; the folders in it were read')
        depth += 1
    return depth


def by_csv(source: Source, text: str, where: str) -> None:
    """Set label and split of each item from a csv; files that it does not name get none. Changes `source`.

    Rows that name what is not there, or a path outside, become rejections; a file with two labels becomes one too,
    unless pictures have several: then its rows are joined.
    """
    items = {item.name: item for item in source.items}
    composed = {unicodedata.normalize("NFC", name): name for name in items}
    labels: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, str] = {}
    for line, file, label, split in _rows(text, where):
        name = next((n for n in (file, file.replace("\\", "/").removeprefix("./")) if n in items), None)
        name = name or composed.get(unicodedata.normalize("NFC", file))
        if name is None:
            reason = Reason.OUTSIDE if escapes(file) else Reason.MISSING
            source.rejected.append(Rejection(file, reason, f"named in line {line} of {where}"))
            continue
        labels[name] |= {label} if label else set()
        if split:
            splits[name] = split
    side = sides(splits.values())
    several = any("|" in label for found in labels.values() for label in found)
    placed = []
    for name, item in items.items():
        if several:
            parts = {part.strip() for label in labels[name] for part in label.split("|")} - {""}
            split = side.get(splits.get(name, ""))
            placed.append(replace(item, label=None, several=tuple(sorted(parts)), split=split))
            continue
        if len(labels[name]) > 1:
            said = ", ".join(f'"{label}"' for label in sorted(labels[name]))
            source.rejected.append(Rejection(name, Reason.CONFLICT, f"{said} in {where}"))
            continue
        placed.append(
            replace(item, label=min(labels[name], default=None), split=side.get(splits.get(name, "")))
        )
    source.items = placed
    if bare := sum(not labels[item.name] for item in placed):
        source.notes.append(f"{bare} pictures have no label in {where}")


def _rows(text: str, where: str) -> Iterable[tuple[int, str, str, str | None]]:
    """(line, file, label, split) of each row. Raises ValueError for a file that is no such csv."""
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""))
        columns = {name.strip().lower(): name for name in rows.fieldnames or []}
        file = next((columns[name] for name in FILE_COLUMNS if name in columns), None)
        if file is None or "label" not in columns:
            have = ", ".join(columns) or "none"
            raise ValueError(f"{where} needs the columns file,label; it has {have}")
        for row in rows:
            word = (row.get(columns.get("split", "")) or "").strip()
            split = split_of(word)
            if word and not split:
                raise ValueError(
                    f'{where}, line {rows.line_num}: the split is "{word}"; use train, test or validation'
                )
            yield rows.line_num, row[file] or "", row[columns["label"]] or "", split
    except csv.Error as error:
        raise ValueError(f"{where} is no csv: {error}") from None


def near_equal(classes: Iterable[str]) -> list[str]:
    """One line for each set of class names that differ only in case, spaces or composition of letters."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(classes):
        alike[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    return [
        f"classes that look alike: {', '.join(ascii(name) for name in names)}; rename them if they are one"
        for names in alike.values()
        if len(names) > 1
    ]
