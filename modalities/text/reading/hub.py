"""Data sets of the `datasets` library by name: used where the network, or its cache, has them."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from modalities.text.reading import tables
from modalities.text.reading.document import Record
from modalities.text.reading.parting import parts
from modalities.text.reading.reasons import Reason, Refused, Rejection
from modalities.text.reading.sources import Source

LINES = 0.1  # empty rows, a share of all, that show rows to be lines of one text


def hub(name: str, most_words: int) -> Source:
    """NAME, NAME/CONFIG, ORG/NAME, ORG/NAME/CONFIG, or a folder that `save_to_disk` wrote.

    Raises ValueError where it has no column of text, ConnectionError where it could not be had.
    """
    found = Source(about={"title": name, "carrier": "datasets", "version": version("datasets")})
    for split, part in _parts(name).items():
        have = tables.columns(part.column_names)
        if "text" not in have:
            raise ValueError(f"hf:{name} has no column of text; it has {', '.join(part.column_names)}")
        official = tables.SPLITS.get(split.split("[")[0])
        rows = part.to_list()
        empty = sum(not str(row[have["text"]] or "").strip() for row in rows)
        if set(have) == {"text"} and empty > LINES * len(rows):
            whole = "".join(str(row[have["text"]] or "").rstrip("\n") + "\n" for row in rows)
            found.items += [
                Record(f"{split}:{k}", text, title, split=official)
                for k, (title, text) in enumerate(parts(whole, 0, most_words), 1)
            ]
        else:
            _rows(found, rows, have, split, official, part.features)
    return found


def _rows(
    found: Source,
    rows: list[tables.Row],
    have: dict[str, str],
    split: str,
    official: str | None,
    features: Any,
) -> None:
    names = getattr(features.get(have.get("label", "")), "names", None)
    for k, row in enumerate(rows, 1):
        if names and row[have["label"]] is not None:
            row[have["label"]] = names[row[have["label"]]] if row[have["label"]] >= 0 else None
        try:
            found.items.append(tables.record(f"{split}:{k}", row, have, official, None))
        except Refused as why:
            found.rejected.append(Rejection(f"{split}:{k}", Reason(why.reason), why.detail))


def _parts(name: str) -> dict[str, Any]:
    import datasets

    where = name.rsplit("/", 1)
    try:
        if Path(name).is_dir() and any(Path(name).glob("dataset_*.json")):
            found = datasets.load_from_disk(name)
        elif Path(name).is_dir() or name.count("/") == 0:
            found = datasets.load_dataset(name)
        elif name.count("/") == 1:
            found = _either(datasets, name, where)
        else:
            found = datasets.load_dataset(*where)
    except Exception as error:  # the library has no one base class for what can go wrong on the way
        why = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"hf:{name} could not be fetched or read: {type(error).__name__}: {why}"
        ) from None
    return dict(found) if isinstance(found, dict) else {"train": found}


def _either(datasets: Any, name: str, where: list[str]) -> Any:
    """ORG/NAME, or NAME/CONFIG where there is no such set."""
    try:
        return datasets.load_dataset(name)
    except datasets.exceptions.DatasetNotFoundError:
        return datasets.load_dataset(*where)
