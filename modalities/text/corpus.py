"""Read a corpus of documents: memory-mapped UTF-8 and where its documents and sentences lie.

artifacts/corpus/text/ holds text.utf8, documents.parquet, sentences.parquet, duplicates.parquet, rejected.csv,
meta.json and tasks/NAME/ for each further set that encoders are judged on. `modalities/text/ingest.py` writes it.
N documents, S sentences.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
SHOWN = 80  # characters by which a person knows a document
Kind = Literal["documents", "pairs", "words", "analogies"]

# What the columns of a task are called that is no set of documents. Scores are numbers, all else is text.
COLUMNS: dict[str, tuple[str, ...]] = {
    "pairs": ("a", "b", "score", "split"),
    "words": ("a", "b", "score"),
    "analogies": ("group", "a", "b", "c", "d"),
}


def evenly(total: int, count: int) -> Index:
    """At most `count` of the numbers 0 .. total - 1, each once, evenly spread; all where there are no more."""
    return np.linspace(0, total - 1, min(count, total)).astype(np.int64)


@dataclass(frozen=True)
class Texts:
    """N documents in a fixed order, a row each, with their sentences. Documents and sentences are numbered from 0.

    A sentence is a span of bytes of `text`, and so is a document; spans never cut a character.
    """

    text: NDArray[np.uint8]  # all documents, normalised UTF-8, back to back
    ids: list[str]
    labels: Index  # (N,), -1 where unknown
    splits: NDArray[np.str_]  # (N,), "train", "valid" or "test"
    classes: list[str]
    spans: Index  # (N, 2), first byte and the byte after the last, of each document
    first: Index  # (N + 1,), first sentence of each document; the last entry is S
    sentences: (
        Index  # (S, 2), bytes, as in `spans`; those of document d are rows first[d] .. first[d + 1] - 1
    )
    paragraphs: Index  # (S,), number of the paragraph in its document
    titles: list[str]  # (N,), "" where there is none
    summaries: list[str]  # (N,), the same
    folder: Path | None = None  # where the corpus lies, with its tasks; None: nowhere

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, split: str) -> "Texts":
        """The documents of one split, in the same order. Raises ValueError where there are none."""
        keep = np.flatnonzero(self.splits == split)
        if not len(keep):
            raise ValueError(
                f"the corpus has no document in its {split} split; see `splits` in params.yaml, text.ingest"
            )
        return self.take(keep)

    def take(self, keep: Index) -> "Texts":
        """These documents, in this order, with their sentences."""
        keep = np.asarray(keep, np.int64)
        counts = (self.first[1:] - self.first[:-1])[keep]
        first = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(first[-1]) + np.repeat(self.first[keep] - first[:-1], counts)
        return replace(
            self,
            ids=[self.ids[k] for k in keep],
            labels=self.labels[keep],
            splits=self.splits[keep],
            spans=self.spans[keep],
            first=first,
            sentences=self.sentences[rows],
            paragraphs=self.paragraphs[rows],
            titles=[self.titles[k] for k in keep],
            summaries=[self.summaries[k] for k in keep],
        )

    def documents(self, index: Sequence[int] | Index, most: int = 0) -> list[str]:
        """The text of these documents, paragraphs apart by a blank line; of each at most its first `most` bytes."""
        ends = (
            self.spans[index, 1]
            if not most
            else np.minimum(self.spans[index, 1], self.spans[index, 0] + most)
        )
        return [_text(self.text, a, b) for a, b in zip(self.spans[index, 0], ends, strict=True)]

    def show(self, index: Index) -> list[str]:
        """How each document begins, on one line."""
        starts = self.documents(index, most=4 * SHOWN)  # a character is four bytes at most
        return [" ".join(start.split())[:SHOWN] for start in starts]

    def strings(self, index: Sequence[int] | Index) -> list[str]:
        """The text of these sentences. `texts.strings(range(*texts.first[d : d + 2]))` are those of document d."""
        return [_text(self.text, a, b) for a, b in self.sentences[np.asarray(index, np.int64)]]

    def document_of(self) -> Index:
        """(S,), the document of each sentence."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def tasks(self, with_: Literal["labels", "summaries"] = "labels") -> dict[str, "Texts"]:
        """The further sets of documents that have labels (or summaries), by name. Encoders never train on them."""
        found = {name: corpus(path) for name, path in self._tasks("documents").items()}
        if with_ == "summaries":
            return {name: each for name, each in found.items() if any(each.summaries)}
        return {name: each for name, each in found.items() if (each.labels >= 0).any()}

    def tables(self, kind: Literal["pairs", "words", "analogies"]) -> dict[str, dict[str, list[Any]]]:
        """The tasks of another kind, by name, each as its columns.

        pairs: a, b, score, split. words: a, b, score. analogies: group, a, b, c, d. Scores are floats, the rest text.
        """
        import pyarrow.parquet as pq

        return {
            name: pq.read_table(path / "table.parquet").to_pydict()
            for name, path in self._tasks(kind).items()
        }

    def _tasks(self, kind: Kind) -> dict[str, Path]:
        if self.folder is None:
            return {}
        found = sorted((self.folder / "tasks").glob("*/meta.json"))
        return {
            each.parent.name: each.parent for each in found if json.loads(each.read_text())["kind"] == kind
        }


def _text(text: NDArray[np.uint8], start: int, stop: int) -> str:
    return text[start:stop].tobytes().decode("utf-8", "ignore")  # what `most` cut of a last character goes


def corpus(path: Path) -> Texts:
    """Open what ingest wrote, a task's folder too; the text stays on disk until it is read."""
    import pyarrow.parquet as pq

    if not (path / "meta.json").exists():
        raise FileNotFoundError(f"{path} holds no corpus; run `dvc repro` first")
    classes = json.loads((path / "meta.json").read_text())["classes"]
    number = {name: k for k, name in enumerate(classes)}
    rows = pq.read_table(path / "documents.parquet").to_pydict()
    sentences = pq.read_table(path / "sentences.parquet", columns=["start", "stop", "paragraph"])
    column = {name: sentences[name].to_numpy().astype(np.int64) for name in ("start", "stop", "paragraph")}
    return Texts(
        text=np.memmap(path / "text.utf8", np.uint8, mode="r"),
        ids=rows["id"],
        labels=np.array([-1 if name is None else number[name] for name in rows["label"]], np.int64),
        splits=np.array(rows["split"]),
        classes=classes,
        spans=np.stack([rows["start"], rows["stop"]], 1).astype(np.int64),
        first=np.array([*rows["first"], len(sentences)], np.int64),
        sentences=np.stack([column["start"], column["stop"]], 1),
        paragraphs=column["paragraph"],
        titles=[title or "" for title in rows["title"]],
        summaries=[summary or "" for summary in rows["summary"]],
        folder=path,
    )


def joined(parts: Sequence[Texts]) -> Texts:
    """Several sets as one, in memory; the classes of one are not those of another, even where they have one name."""
    if len(parts) == 1:
        return parts[0]
    bytes_before = np.cumsum([0, *(len(part.text) for part in parts)])
    sentences_before = np.cumsum([0, *(len(part.sentences) for part in parts)])
    classes_before = np.cumsum([0, *(len(part.classes) for part in parts)])
    firsts = [part.first[:-1] + before for part, before in zip(parts, sentences_before, strict=False)]
    labels = [
        np.where(part.labels < 0, -1, part.labels + before)
        for part, before in zip(parts, classes_before, strict=False)
    ]
    return Texts(
        text=np.concatenate([part.text for part in parts]),
        ids=[name for part in parts for name in part.ids],
        labels=np.concatenate(labels),
        splits=np.concatenate([part.splits for part in parts]),
        classes=[name for part in parts for name in part.classes],
        spans=np.concatenate([p.spans + before for p, before in zip(parts, bytes_before, strict=False)]),
        first=np.concatenate([*firsts, sentences_before[-1:]]),
        sentences=np.concatenate(
            [p.sentences + before for p, before in zip(parts, bytes_before, strict=False)]
        ),
        paragraphs=np.concatenate([part.paragraphs for part in parts]),
        titles=[title for part in parts for title in part.titles],
        summaries=[summary for part in parts for summary in part.summaries],
    )
