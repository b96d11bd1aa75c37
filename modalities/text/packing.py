"""What a text `build` writes, and the rows that methods cut from it.

    tokenizer.json                the vocabulary, and in tokens.key what it and the tokens follow from
    tokens.u16 (or .u32)          every sentence in the order of the corpus, without special tokens
    starts.u8                     1 where a token begins a word
    offsets.i64, documents.i64    (S + 1) first token of each sentence, (N + 1) first sentence of each document
    examples.i32                  rows of the method's own packing, (n, columns)
    meta.json

A `build` is two lines:

    packed = packing.write(corpus, out, kind=kind, size=size, min_count=1)
    packing.keep(out, packing.full_sentences(packed, length, cross=True))

and `packing.read(built)` in `__init__` gives the same `Packed` back, memory-mapped, its `examples` filled. Then `batch`
turns numbers of examples into token ids, a whole batch at once: see `rows` and `frame`.
N documents, S sentences, T tokens, n examples, L tokens a row.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from modalities.text import vocabulary
from modalities.text.corpus import Texts
from modalities.text.vocabulary import Kind, Vocabulary

Index = NDArray[np.int64]
KEY = "tokens.key"
Tokens = NDArray[np.integer[Any]]  # uint16, or uint32 where a vocabulary has more entries than that counts


@dataclass(frozen=True)
class Packed:
    """A tokenised corpus. Sentence s is tokens[offsets[s]:offsets[s + 1]]."""

    vocabulary: Vocabulary
    tokens: Tokens  # (T,)
    starts: NDArray[np.uint8]  # (T,)
    offsets: Index  # (S + 1,)
    documents: Index  # (N + 1,), first sentence of each
    examples: NDArray[np.int32]  # (n, columns)

    @cached_property
    def document_of(self) -> Index:
        """(S,), the document of each sentence."""
        return np.repeat(np.arange(len(self.documents) - 1), np.diff(self.documents))

    @cached_property
    def stream(self) -> Tokens:
        """(T + N,), all documents joined, one separator after each. Sentence s begins at `place(s)`."""
        return np.insert(self.tokens, self.offsets[self.documents[1:]], self.vocabulary.separator)

    @cached_property
    def stream_starts(self) -> NDArray[np.uint8]:
        """(T + N,), `starts` of the stream; a separator is a word of its own."""
        return np.insert(self.starts, self.offsets[self.documents[1:]], 1)

    def place(self, sentence: Index) -> Index:
        """Where sentences begin in the stream. For S itself, where the last document's separator stands, plus one."""
        ended = np.searchsorted(self.documents, sentence, side="right") - 1
        return self.offsets[sentence] + np.minimum(ended, len(self.documents) - 1)


def write(corpus: Texts, out: Path, *, kind: Kind, size: int, min_count: int) -> Packed:
    """Train a vocabulary on these documents, tokenise them, and fill the folder `out`, `examples` excepted.

    Raises ValueError where the corpus has no sentence or the vocabulary cannot be made.
    """
    return _write(corpus, corpus.strings(range(len(corpus.sentences))), out, kind, size, min_count)


def write_whole(corpus: Texts, out: Path, *, kind: Kind, size: int, min_count: int) -> Packed:
    """The same, but each sentence with the spaces and line ends before it, so that tokens spell whole documents.

    For models of a language, whose bits per byte count every byte. Orders of sentences would be told by the spaces.
    """
    begin, stop = corpus.sentences[:, 0].copy(), corpus.sentences[:, 1].copy()
    begin[1:] = stop[:-1]
    full = np.diff(corpus.first) > 0
    begin[corpus.first[:-1][full]] = corpus.spans[full, 0]
    stop[corpus.first[1:][full] - 1] = corpus.spans[full, 1]
    texts = [corpus.text[a:b].tobytes().decode() for a, b in zip(begin, stop, strict=True)]
    return _write(corpus, texts, out, kind, size, min_count)


def _write(corpus: Texts, texts: list[str], out: Path, kind: Kind, size: int, min_count: int) -> Packed:
    # Five methods want the same pieces, which take longer than all else of a build. So they are taken over from a
    # folder beside `out` whose key is the same; it does not matter who made them.
    if not texts:
        raise ValueError("the corpus has no sentence to learn from; see text.ingest.source")
    key = vocabulary.key(texts, kind=kind, size=size, min_count=min_count)
    same = (file.parent for file in sorted(out.parent.glob(f"*/{KEY}")) if file.read_text() == key)
    if twin := next(same, None):
        before = read(twin)
        found = _keep(corpus, out, before.vocabulary, before.tokens, before.starts, before.offsets)
    else:
        made = vocabulary.train(texts, kind=kind, size=size, min_count=min_count)
        found = tokenised(corpus, texts, made, out)
    (out / KEY).write_text(key)  # last: who sees it finds the rest
    return found


def tokenised(corpus: Texts, texts: list[str], made: Vocabulary, out: Path) -> Packed:
    """What `write` does once it has a vocabulary; `texts` are the sentences."""
    ids, offsets = made.encode(texts)
    starts = made.begins[ids]
    starts[offsets[:-1][np.diff(offsets) > 0]] = True
    return _keep(corpus, out, made, ids, starts, offsets)


def _keep(
    corpus: Texts, out: Path, made: Vocabulary, ids: Tokens, starts: NDArray[Any], offsets: Index
) -> Packed:
    small = len(made) <= 1 << 16
    made.save(out)
    ids.astype("<u2" if small else "<u4").tofile(out / ("tokens.u16" if small else "tokens.u32"))
    starts.astype("u1").tofile(out / "starts.u8")
    offsets.astype("<i8").tofile(out / "offsets.i64")
    corpus.first.astype("<i8").tofile(out / "documents.i64")
    sizes = {"bytes": int(np.diff(corpus.sentences).sum()), "tokens": len(ids), "words": int(starts.sum())}
    about = sizes | {"kind": made.kind, "entries": len(made), "columns": 0}
    (out / "meta.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    return read(out)


def keep(out: Path, examples: Index) -> None:
    """Write the rows, (n, columns), of a method's packing beside what `write` wrote."""
    if not len(examples):
        raise ValueError("no document is long enough for an example; lower build.length, or use more text")
    examples = examples.reshape(len(examples), -1)
    examples.astype("<i4").tofile(out / "examples.i32")
    about = json.loads((out / "meta.json").read_text()) | {"columns": examples.shape[1]}
    (out / "meta.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def read(built: Path) -> Packed:
    """Open what `write` and `keep` wrote; tokens stay on disk until they are read."""
    made = vocabulary.load(built)
    columns = json.loads((built / "meta.json").read_text())["columns"]
    small = built / "tokens.u16"
    tokens = _open(small, "<u2") if small.exists() else _open(built / "tokens.u32", "<u4")
    examples = (
        _open(built / "examples.i32", "<i4").reshape(-1, columns) if columns else np.zeros((0, 1), np.int32)
    )
    return Packed(
        vocabulary=made,
        tokens=tokens,
        starts=_open(built / "starts.u8", "u1"),
        offsets=np.fromfile(built / "offsets.i64", "<i8"),
        documents=np.fromfile(built / "documents.i64", "<i8"),
        examples=examples,
    )


def _open(file: Path, kind: str) -> NDArray[Any]:
    if not file.exists():
        raise FileNotFoundError(f"{file.parent} holds no {file.name}; run `dvc repro` first")
    return np.memmap(file, kind, mode="r") if file.stat().st_size else np.zeros(0, kind)


def rows(values: NDArray[Any], starts: Index, stops: Index, width: int, fill: int) -> Index:
    """(n, width): values[starts[k]:stops[k]] of each row from the left, then `fill`. Longer rows are cut."""
    if not len(values):
        return np.full((len(starts), width), fill, np.int64)
    where = np.asarray(starts)[:, None] + np.arange(width)
    found = values[np.minimum(where, len(values) - 1)].astype(np.int64)
    return np.where(where < np.asarray(stops)[:, None], found, fill)


def frame(parts: list[Index], vocabulary: Vocabulary) -> Index:
    """Rows side by side as an encoder eats them: start, part, separator, part, separator; then pads.

    Each part is (n, L) token ids with pads on the right, as `rows` gives them with `fill=vocabulary.pad`. One part is
    one segment, two are a pair: (n, width) for the widest row. Empty parts are left out with their separator.
    """
    n, pad = len(parts[0]), vocabulary.pad
    lengths = [(part != pad).sum(1) for part in parts]
    width = int((1 + sum(length + (length > 0) for length in lengths)).max(initial=1))
    out = np.full((n, width), pad, np.int64)
    out[:, 0] = vocabulary.start
    at = np.ones(n, np.int64)
    for part, length in zip(parts, lengths, strict=True):
        row, column = np.nonzero(np.arange(part.shape[1]) < length[:, None])
        out[row, at[row] + column] = part[row, column]
        full = np.flatnonzero(length)
        out[full, at[full] + length[full]] = vocabulary.separator
        at += length + (length > 0)
    return out


def stream(packed: Packed, length: int) -> Index:
    """(n, 1): first place in `packed.stream` of blocks of length + 1 tokens, at stride `length`.

    The extra token is the last one's target. Blocks cross documents, which a separator parts; a last, shorter one is
    dropped, but for the only one. Read with `rows(packed.stream, start, start + length + 1, length + 1, pad)`.
    """
    total = len(packed.stream)
    return np.arange(0, max(1, total - length), length)[:, None]


def full_sentences(packed: Packed, length: int, *, cross: bool) -> Index:
    """(n, 2): first sentence and the one after the last, as many whole ones as fit into `length` - 2 tokens.

    With `cross` a row goes on into the next document, and the separator between counts as a token (RoBERTa's
    full-sentences); without, it ends there (doc-sentences). A sentence that is longer alone is cut by who reads it.
    Read with `rows(packed.stream, packed.place(first), packed.place(last - 1) + its length, ...)`: see `passage`.
    """
    first = np.arange(len(packed.offsets) - 1)
    begin, end = spans(packed, first, first + 1)
    # The furthest sentence that still ends within the room of a row begun at each sentence.
    reach = np.searchsorted(end, begin + length - 2, side="right")
    reach = np.maximum(reach, first + 1)
    if not cross:
        reach = np.minimum(reach, packed.documents[packed.document_of + 1])
    found, at = [], 0
    while at < len(first):
        found.append((at, int(reach[at])))
        at = int(reach[at])
    return np.array(found, np.int64).reshape(-1, 2)


def passage(packed: Packed, first: Index, last: Index, width: int) -> Index:
    """(n, width): the tokens of sentences first .. last - 1, one separator where a document ends between them."""
    return rows(packed.stream, *spans(packed, first, last), width, packed.vocabulary.pad)


def spans(packed: Packed, first: Index, last: Index) -> tuple[Index, Index]:
    """(n,) first place in `packed.stream`, and the one after the last, of sentences first .. last - 1."""
    return packed.place(first), packed.place(last - 1) + packed.offsets[last] - packed.offsets[last - 1]


def windows(values: NDArray[Any], room: int) -> NDArray[Any]:
    """(T, room + 2), a view: at each place the value before it, the `room` that begin there, and one after those."""
    return sliding_window_view(np.pad(values, (1, room)), room + 2)


def framed(windows: NDArray[Any], starts: Index, stops: Index, vocabulary: Vocabulary) -> Index:
    """`frame` of the one part that `rows` would give, at most `room` tokens of it, in fewer passes: see `windows`."""
    lengths = np.minimum(stops - starts, windows.shape[1] - 2)
    width = int(lengths.max(initial=0)) + 2
    found: Index = windows[starts, :width].astype(np.int64)
    np.copyto(found, vocabulary.pad, where=np.arange(width) > lengths[:, None])
    found[:, 0] = vocabulary.start
    found[np.arange(len(found)), lengths + 1] = vocabulary.separator
    return found


def document(packed: Packed, length: int, *, least: int, most: int) -> Index:
    """(n, 2): first sentence and the one after the last, of one document, in at most `length` - 2 tokens.

    A document gives several rows, one after another, each of `least` to `most` whole sentences (`most` 0: any number);
    what is shorter is dropped.
    """
    found = full_sentences(packed, length, cross=False)
    if most:
        found = _at_most(found, most)
    long = packed.offsets[found[:, 1]] - packed.offsets[found[:, 0]] > length - 2
    return found[(found[:, 1] - found[:, 0] >= least) & ~long]


def _at_most(spans: Index, most: int) -> Index:
    """Spans of sentences cut into spans of at most so many."""
    parts = -(-(spans[:, 1] - spans[:, 0]) // most)
    row = np.repeat(np.arange(len(spans)), parts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    first = spans[row, 0] + nth * most
    return np.stack([first, np.minimum(first + most, spans[row, 1])], 1)


def triples(packed: Packed) -> Index:
    """(n, 1): every sentence that has one before and one after it in the same document."""
    found: Index = np.arange(1, len(packed.offsets) - 2)
    same = packed.document_of
    kept: Index = found[(same[found - 1] == same[found]) & (same[found + 1] == same[found])]
    return kept[:, None]
