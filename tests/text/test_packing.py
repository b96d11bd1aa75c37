"""Packing: rows cut from a tokenised corpus, each rule against a loop over sentences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalities.text import packing, vocabulary
from modalities.text.corpus import Texts
from modalities.text.packing import Packed
from tests.text import toy


def written(corpus: Texts, folder: Path, kind: vocabulary.Kind = "wordpiece") -> Packed:
    return packing.write(corpus, folder, kind=kind, size=400, min_count=1)


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """Twenty documents, one of them empty."""
    texts = toy.documents(20)
    parts = [texts.strings(range(*texts.first[k : k + 2])) for k in range(20)]
    return written(toy.of([*parts[:7], [], *parts[7:]]), tmp_path)


def sentences(packed: Packed) -> list[list[int]]:
    return [packed.tokens[a:b].tolist() for a, b in zip(packed.offsets, packed.offsets[1:], strict=False)]


def documents(packed: Packed) -> list[range]:
    """The sentences of each document."""
    return [range(a, b) for a, b in zip(packed.documents, packed.documents[1:], strict=False)]


def test_what_is_written_is_read_again_and_spells_the_sentences(toy_texts: Texts, tmp_path: Path) -> None:
    first = written(toy_texts, tmp_path)
    packing.keep(tmp_path, np.arange(6).reshape(3, 2))
    again = packing.read(tmp_path)
    for name in ("tokens", "starts", "offsets", "documents"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert again.tokens.dtype == np.uint16 and again.examples.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert again.documents.tolist() == toy_texts.first.tolist()
    texts = toy_texts.strings(range(len(toy_texts.sentences)))
    for text, ids in zip(texts, sentences(again), strict=True):
        assert again.vocabulary.decode(ids).replace(" ", "") == text.lower().replace(" ", "")


def test_starts_are_where_words_begin(packed: Packed) -> None:
    own = packed.vocabulary
    for s, ids in enumerate(sentences(packed)):
        starts = packed.starts[packed.offsets[s] : packed.offsets[s + 1]]
        want = [k == 0 or not own.entries[token].startswith("##") for k, token in enumerate(ids)]
        assert starts.astype(bool).tolist() == want


def test_the_stream_is_all_documents_with_a_separator_after_each(packed: Packed) -> None:
    want: list[int] = []
    begins = []
    for document in documents(packed):
        for s in document:
            begins.append(len(want))
            want += sentences(packed)[s]
        want.append(packed.vocabulary.separator)
    assert packed.stream.tolist() == want and len(packed.stream_starts) == len(want)
    assert packed.place(np.arange(len(begins))).tolist() == begins
    assert packed.place(np.array([len(begins)])).tolist() == [len(want)]


def test_whole_documents_are_spelled_with_their_spaces(tmp_path: Path) -> None:
    texts = toy.documents(6)
    packed = packing.write_whole(texts, tmp_path, kind="bpe", size=400, min_count=1)
    ends = np.flatnonzero(packed.stream == packed.vocabulary.separator)
    parts = np.split(packed.stream, ends + 1)[:-1]
    assert [packed.vocabulary.decode(part.tolist()) for part in parts] == texts.documents(np.arange(6))


def test_blocks_of_the_stream_lie_side_by_side_and_hold_the_next_token(packed: Packed) -> None:
    starts = packing.stream(packed, 16)[:, 0]
    blocks = packing.rows(packed.stream, starts, starts + 17, 17, packed.vocabulary.pad)
    assert np.array_equal(blocks[:-1, -1], blocks[1:, 0])
    joined = np.concatenate([blocks[:, :-1].ravel(), blocks[-1, -1:]])
    assert np.array_equal(joined, packed.stream[: len(joined)]) and len(packed.stream) - len(joined) < 16


@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("length", [12, 24, 64])
def test_rows_of_full_sentences_equal_a_loop(packed: Packed, length: int, cross: bool) -> None:
    """As many whole sentences as fit; a separator counts where a document ends between two; a long one stays alone."""
    of = packed.document_of
    want: list[tuple[int, int]] = []
    room = -1
    for s, ids in enumerate(sentences(packed)):
        between = int(of[s] - of[s - 1]) if s else 0  # an empty document has a separator too
        if want and room >= between + len(ids) and (cross or not between):
            want[-1] = want[-1][0], s + 1
            room -= between + len(ids)
        else:
            want.append((s, s + 1))
            room = length - 2 - len(ids)
    found = packing.full_sentences(packed, length, cross=cross)
    assert found.tolist() == [list(row) for row in want]
    table = packing.passage(packed, found[:, 0], found[:, 1], length - 2)
    for (first, last), row in zip(found, table, strict=True):
        spelled: list[int] = []
        for s in range(first, last):
            spelled += [packed.vocabulary.separator] * (int(of[s] - of[s - 1]) if s > first else 0)
            spelled += sentences(packed)[s]
        assert row[row != packed.vocabulary.pad].tolist() == spelled[: length - 2]


@pytest.mark.parametrize("most", [0, 3])
def test_rows_of_a_document_are_whole_sentences_of_one(packed: Packed, most: int) -> None:
    found = packing.document(packed, 40, least=2, most=most)
    lengths = np.diff(packed.offsets)
    assert len(found) > 10
    for first, last in found:
        assert 2 <= last - first <= (most or 99) and lengths[first:last].sum() <= 38
        assert packed.document_of[first] == packed.document_of[last - 1]
    # None overlaps another, and what is left out could not have been two sentences more of the row before.
    assert (found[1:, 0] >= found[:-1, 1]).all()


def test_triples_are_all_sentences_with_two_neighbours(packed: Packed) -> None:
    want = [s for document in documents(packed) for s in list(document)[1:-1]]
    assert packing.triples(packed)[:, 0].tolist() == want


def test_rows_and_frames_equal_loops(packed: Packed) -> None:
    own = packed.vocabulary
    values = np.arange(50, 70)
    rows = packing.rows(values, np.array([0, 18, 5]), np.array([3, 20, 5]), 4, own.pad)
    assert rows.tolist() == [[50, 51, 52, own.pad], [68, 69, own.pad, own.pad], [own.pad] * 4]
    a, b = [[60, 61], [], [62]], [[63], [64, 65], []]
    parts = [np.array([part + [own.pad] * (3 - len(part)) for part in side]) for side in (a, b)]
    for row, *both in zip(packing.frame(parts, own), a, b, strict=True):
        want = [own.start, *(t for part in both for t in (*part, own.separator) if part)]
        assert row.tolist() == want + [own.pad] * (len(row) - len(want))
    one = packing.frame(parts[:1], own)
    starts, stops = np.array([0, 2]), np.array([2, 3])
    windows = packing.windows(np.array([60, 61, 62]), 3)
    assert np.array_equal(packing.framed(windows, starts, stops, own), one[[0, 2]])


def test_a_vocabulary_and_tokens_that_lie_beside_are_taken_over_and_no_others(
    toy_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    encoded: list[int] = []
    train, encode = vocabulary.train, vocabulary.Vocabulary.encode

    def counted(texts: list[str], **keys: Any) -> vocabulary.Vocabulary:
        trained.append(keys["kind"])
        return train(texts, **keys)

    def counted_too(self: vocabulary.Vocabulary, texts: list[str]) -> Any:
        encoded.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(vocabulary, "train", counted)
    monkeypatch.setattr(vocabulary.Vocabulary, "encode", counted_too)
    other = toy.documents(48, seed=1)
    for name in ("first", "same", "kind", "texts", "alone"):
        (tmp_path / name / "built").mkdir(parents=True) if name == "alone" else (tmp_path / name).mkdir()
    written(toy_texts, tmp_path / "first")
    written(toy_texts, tmp_path / "same")
    assert trained == ["wordpiece"] and len(encoded) == 1
    written(toy_texts, tmp_path / "kind", "bpe")
    written(other, tmp_path / "texts")
    written(toy_texts, tmp_path / "alone" / "built")
    assert trained == ["wordpiece", "bpe", "wordpiece", "wordpiece"] and len(encoded) == 4
    for file in (tmp_path / "first").iterdir():
        for name in ("same", "alone/built"):
            assert file.read_bytes() == (tmp_path / name / file.name).read_bytes(), file.name


def test_more_entries_than_sixteen_bits_take_thirty_two(toy_texts: Texts, tmp_path: Path) -> None:
    texts = toy_texts.strings(range(len(toy_texts.sentences)))
    words = [f"word{k}" for k in range((1 << 16) + 8)]
    made = vocabulary.train([*texts, *words], kind="words", size=1 << 17, min_count=1)
    packed = packing.tokenised(toy_texts, texts, made, tmp_path)
    assert len(made) > 1 << 16 and packed.tokens.dtype == np.uint32
    assert (tmp_path / "tokens.u32").exists() and not (tmp_path / "tokens.u16").exists()


def test_what_cannot_be_packed_is_named(packed: Packed, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no document is long enough for an example; lower build\.length"):
        packing.keep(tmp_path, np.zeros((0, 2), np.int64))
    with pytest.raises(ValueError, match=r"no sentence to learn from; see text\.ingest\.source"):
        written(toy.of([]), tmp_path)
    with pytest.raises(FileNotFoundError, match="run `dvc repro` first"):
        packing.read(tmp_path / "nowhere")
