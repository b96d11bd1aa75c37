"""Ingest: whatever a folder holds is read rightly, rejected with a reason, or one clear error; nothing else is lost."""

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from modalities.common import parallel
from modalities.text.corpus import Texts, corpus
from modalities.text.ingest import ingest
from modalities.text.reading import gather, sources
from modalities.text.reading.reasons import Refused
from tests.conftest import ROOT, params

DATA = ROOT / "../shared/data"
BAD = DATA / "bad"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the developers' private data is not here")


def run(source: Path | str, out: Path, **changes: Any) -> Texts:
    keys = dict(params()["text"]["ingest"]) | {"tasks": {}, "min_words": 1, "max_rejected": 1.0} | changes
    keys.pop("source")
    ingest(str(source), out, **keys)
    return corpus(out)


def rejected(out: Path) -> dict[str, str]:
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        return {row["file"]: row["reason"] for row in csv.DictReader(stream)}


def folder(root: Path, **files: Any) -> Path:
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
    return root


def test_bytes_and_rows_agree(tmp_path: Path) -> None:
    text = "Erster Satz hier. Zwei Sätze.\n\nNeuer Absatz: „Größe“ zählt."
    source = folder(tmp_path / "in", **{"a.txt": text, "b.txt": "Something else.\nOn two lines."})
    texts = run(source, tmp_path / "out")
    both = {texts.documents([k])[0]: texts.strings(range(*texts.first[k : k + 2])) for k in range(2)}
    assert both == {
        text: ["Erster Satz hier.", "Zwei Sätze.", "Neuer Absatz: „Größe“ zählt."],
        "Something else. On two lines.": ["Something else.", "On two lines."],
    }
    assert texts.paragraphs.tolist() in ([0, 0, 1, 0, 0], [0, 0, 0, 0, 1]) and texts.ids == sorted(texts.ids)
    rows = pq.read_table(tmp_path / "out/sentences.parquet").to_pydict()
    assert rows["id"][0] == f"{texts.ids[0]}:00000" and sum(rows["words"]) == 14


def test_two_ingests_give_the_same_bytes_in_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"word{k}" for k in rng.integers(0, 900, 60)) + "." for _ in range(300)]
    source = folder(tmp_path / "in", **{f"{k}.txt": text for k, text in enumerate(texts[:40])})
    (source / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts[30:]))
    run(source, tmp_path / "one")
    monkeypatch.setattr(gather, "ALONE", 0)
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    run(source, tmp_path / "two")
    names = sorted(p.name for p in (tmp_path / "one").iterdir() if p.is_file())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@needs_data
def test_every_bad_file_is_read_rightly_or_named(tmp_path: Path) -> None:
    source = folder(tmp_path / "in")
    for file in BAD.glob("*.txt"):
        (source / file.name).write_bytes(file.read_bytes())
    texts = run(source, tmp_path / "out")
    assert rejected(tmp_path / "out") == {
        "binary-renamed.txt": "binary",
        "control-chars.txt": "control characters",
        "empty.txt": "no text",
        "invalid-utf8.txt": "unknown encoding",
        "nul-bytes.txt": "NUL bytes",
        "only-whitespace.txt": "no text",
    }
    found = " | ".join(texts.documents(range(len(texts))))
    for said in (
        "“It’s here,” she said — a dash … and 4 €.", "Le café d'à côté a servi trois crèmes brûlées.",
        "unix windows old mac last without newline", "combining: é vs é", "zero width: ab\u200dc",
        "👩\u200d👩\u200d👧\u200d👦",
    ):  # fmt: skip
        assert said in found, said
    assert (
        texts.text.tobytes().decode().count("Über die Straße gehen naïve façades.") == 1
    )  # of three, copies went


@needs_data
def test_bad_rows_cost_themselves_and_are_named_by_line(tmp_path: Path) -> None:
    source = folder(tmp_path / "in")
    for name in (
        "quoted-newlines.csv",
        "ragged.csv",
        "tabs-in-text.tsv",
        "one-bad-line.jsonl",
        "labels-with-problems.csv",
    ):
        (source / name).write_bytes((BAD / name).read_bytes())
    texts = run(source, tmp_path / "out")
    assert rejected(tmp_path / "out") == {
        "ragged.csv:3": "wrong number of fields",
        "ragged.csv:4": "wrong number of fields",
        "ragged.csv:5": "no text",
        "tabs-in-text.tsv:3": "wrong number of fields",
        "tabs-in-text.tsv:5": "no text",
        "one-bad-line.jsonl:2": "not a JSON object",
        "one-bad-line.jsonl:5": "not a JSON object",
        "one-bad-line.jsonl:6": "no text",
        "one-bad-line.jsonl:7": "no text",
        "labels-with-problems.csv": "no text",
    }
    found = texts.documents(range(len(texts)))
    assert {
        'a "quoted" line that goes on',
        "comma, inside",
        "plain",
        "no label",
        "good",
        "again good",
    } <= set(found)


def test_a_line_of_fifty_megabytes_is_refused_and_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "in", **{"good.txt": "A good text of some words."})
    (source / "long.txt").write_bytes(b"word " * (10 << 20))
    assert len(run(source, tmp_path / "out")) == 1
    assert rejected(tmp_path / "out") == {"long.txt": "too large"}
    monkeypatch.setattr(sources, "MOST_LINE", 1000)
    sources._line(b"short\n" * 1000)
    with pytest.raises(Refused, match="from byte 6"):
        sources._line(b"short\n" + b"x" * 2000 + b"\nshort")


def test_names_links_and_pipes(tmp_path: Path) -> None:
    text = "Text number {} of the folder here."
    source = tmp_path / "in"
    names = ["with space.txt", "ünï.txt", "-dash.txt", "new\nline.txt", "deep/er/x.txt"]
    folder(source, **{name.replace("/", "__"): text.format(k) for k, name in enumerate(names)})
    (source / "self").symlink_to("self")
    (source / "round").symlink_to(source)
    (source / "gone.txt").symlink_to("nothing")
    os.mkfifo(source / "pipe.txt")
    texts = run(source, tmp_path / "out")
    assert len(texts) == len(names)
    assert rejected(tmp_path / "out") == {"gone.txt": "missing", "self": "unreadable"}


def test_special_tokens_in_the_text_stay_text(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", **{"a.txt": "The [MASK] and </s> are <pad> words."})
    assert run(source, tmp_path / "out").documents([0]) == ["The [MASK] and </s> are <pad> words."]


def test_a_corpus_of_one_sentence(tmp_path: Path) -> None:
    texts = run(folder(tmp_path / "in", **{"a.txt": "Only this."}), tmp_path / "out")
    assert len(texts) == 1 and texts.strings([0]) == ["Only this."]


def test_nothing_left_says_why(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", **{"a.txt": "Only this."})
    with pytest.raises(ValueError, match=r"no document of .* is left \(1 too few words\)"):
        run(source, tmp_path / "out", min_words=20)
    with pytest.raises(
        FileNotFoundError, match=r'text\.ingest\.source is "nowhere" and there is no such file'
    ):
        run("nowhere", tmp_path / "b")
    with pytest.raises(ValueError, match=r"holds no \.txt"):
        run(folder(tmp_path / "empty"), tmp_path / "c")
    bad = folder(tmp_path / "bad", **{"a.txt": b"\0\1\2", "b.txt": "Good text."})
    with pytest.raises(
        ValueError, match=r"1 of 2 files and rows .*more than text\.ingest\.max_rejected 0\.3"
    ):
        run(bad, tmp_path / "d", max_rejected=0.3)
    with pytest.raises(ValueError, match=r"text\.ingest\.splits is"):
        run(bad, tmp_path / "e", splits={"valid": 0.5, "test": 0.6})


def test_class_folders_official_splits_and_zips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = tmp_path / "in"
    for split in ("train", "test"):
        for label in ("cats", "dogs"):
            for k in range(3):
                words = " ".join(f"w{n}" for n in rng.integers(0, 999, 30))
                folder(source, **{f"{split}__{label}__{k}.txt": words})
    packed = tmp_path / "in.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for file in sorted(source.rglob("*.txt")):
            out.write(file, file.relative_to(source))
        out.writestr("../outside.txt", "Never read.")
    for which in (source, packed):
        texts = run(which, tmp_path / f"out {which.name}")
        assert texts.classes == ["cats", "dogs"] and sorted(texts.labels) == [0] * 6 + [1] * 6
        assert sorted(texts.splits) == ["test"] * 6 + ["train"] * 6
    assert rejected(tmp_path / "out in.zip") == {"../outside.txt": "path outside the source"}
    assert (run(source, tmp_path / "bare", labels=False).labels == -1).all()


def test_splits_are_drawn_by_document_and_groups_stay_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        {
            "text": " ".join(f"w{n}" for n in rng.integers(0, 999, 30)),
            "group": f"film {k // 5}",
            "label": f"c{k % 2}",
        }
        for k in range(400)
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    texts = run(tmp_path / "x.jsonl", tmp_path / "out", splits={"valid": 0.1, "test": 0.3})
    rows = pq.read_table(tmp_path / "out/documents.parquet").to_pydict()
    side: dict[int, set[str]] = {}
    for source, split in zip(rows["source"], rows["split"], strict=True):
        side.setdefault((int(source.split(":")[1]) - 1) // 5, set()).add(split)
    assert all(len(splits) == 1 for splits in side.values())
    assert 0.15 < (texts.splits == "test").mean() < 0.45
    again = run(tmp_path / "x.jsonl", tmp_path / "half", splits={"valid": 0.1, "test": 0.3}, limit=200)
    known = dict(zip(texts.ids, texts.splits, strict=True))
    assert len(again) == 200 and all(known[i] == s for i, s in zip(again.ids, again.splits, strict=True))


def test_tasks_of_every_kind(tmp_path: Path) -> None:
    main = folder(
        tmp_path / "main", **{"a.txt": "The cat sat on the mat and looked at the very old dog all day long."}
    )
    leak = "x " + "the cat sat on the mat and looked at the very old dog all day long"
    sets = tmp_path / "sets"
    folder(sets, **{
        "labelled__train.tsv": "label\ttext\na\tone thing here\nb\tother thing there\n",
        "labelled__test.tsv": f"label\ttext\na\tone more of it\nb\tanother there too\na\t{leak}\n",
        "sums.jsonl": json.dumps({"topic": "only", "paragraphs": ["One two.", "Three four."], "summary": "One."}),
        "pairs__train.tsv": "score\tsentence_a\tsentence_b\n3.5\ta b\tc d\nbad\ta\tb\n",
        "pairs__dev.tsv": "score\tsentence_a\tsentence_b\n2\te f\tg h\n",
        "words.txt": "# comment\nlove\tsex\t6.77\ntiger\tcat\t7.35\n",
        "questions.txt": ": capitals\nAthens Greece Oslo Norway\n: family\nboy girl king queen\n",
    })  # fmt: skip
    texts = run(
        folder(main, **{"b.txt": "Something else that is not in any test set."}), tmp_path / "out",
        tasks={name.split(".")[0]: str(sets / name) for name in
               ("labelled", "sums.jsonl", "pairs", "words.txt", "questions.txt")},
    )  # fmt: skip
    assert texts.documents(range(len(texts))) == ["Something else that is not in any test set."]
    assert rejected(tmp_path / "out") == {"a.txt": "shares a run of words with a test set"}
    assert list(texts.tasks()) == ["labelled"] and list(texts.tasks("summaries")) == ["sums"]
    judged = texts.tasks()["labelled"]
    assert sorted(judged.splits) == ["test"] * 3 + ["train"] * 2 and judged.classes == ["a", "b"]
    sums = texts.tasks("summaries")["sums"]
    assert sums.summaries == ["One."] and sums.strings([0, 1]) == ["One two.", "Three four."]
    assert texts.tables("pairs") == {
        "pairs": {"a": ["e f", "a b"], "b": ["g h", "c d"], "score": [2.0, 3.5], "split": ["valid", "train"]}
    }
    assert texts.tables("words")["words"]["score"] == [6.77, 7.35]
    assert texts.tables("analogies")["questions"]["d"] == ["Norway", "queen"]
    assert rejected(tmp_path / "out/tasks/pairs") == {"train.tsv:3": "not a usable value"}
    with pytest.raises(ValueError, match=r"text\.ingest\.tasks\.plain is .* nothing to judge by"):
        run(main, tmp_path / "c", tasks={"plain": str(main)})


@needs_data
def test_folders_of_real_data_need_nothing_but_their_paths(tmp_path: Path) -> None:
    text = DATA / "text"
    names = {
        "agnews": "agnews", "sick": "sick", "sts": "sts", "trec": "sentclass/trec", "mpqa": "sentclass/mpqa",
        "bbcnews": "bbcnews", "opinosis": "opinosis", "novels": "novels/novels.zip",
    }  # fmt: skip
    texts = run(
        text / "wikitext2", tmp_path / "out", tasks={k: str(text / v) for k, v in names.items()}, task_limit=300,
        min_words=20,
    )  # fmt: skip
    assert len(texts) > 80 and any(texts.titles) and set(texts.splits) == {"train", "test"}
    assert {"agnews", "trec", "mpqa", "bbcnews"} <= set(texts.tasks())
    assert {"bbcnews", "opinosis"} <= set(texts.tasks("summaries"))
    assert set(texts.tables("pairs")) == {"sick", "sts"}
    assert len(texts.tables("pairs")["sick"]["a"]) == 9927
