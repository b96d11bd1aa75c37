"""Word vectors against gensim's: `python -m benchmarks.quality_vs_gensim [CORPUS] [METHOD] [PASSES]`.

Both get the same sentences of the same words of one corpus (a folder that ingest wrote; its training split), with the
same width, window, thinning, negatives and passes over the text; gensim with its own learning rate, ours with the
optimiser of params.yaml. Both tables answer WordSim-353, SimLex-999 and the analogy questions of word2vec, which come
with gensim, by the arithmetic of the transfer `words`. One JSON line a seed and side, and one of means, deviations and
differences.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gensim.models import Word2Vec
from gensim.test.utils import datapath
from torch import Tensor

import modalities
from modalities.base import Pretext
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder
from modalities.text.transfers import words as judge
from stages import cli, loop

SEEDS = (17, 18, 19)
COMMON = 30_000


def tables() -> dict[str, dict[str, dict[str, list[Any]]]]:
    """What gensim carries, as `Texts.tables` gives it."""
    scored: dict[str, dict[str, list[Any]]] = {}
    for name, file in (("wordsim353", "wordsim353.tsv"), ("simlex999", "simlex999.txt")):
        lines = Path(datapath(file)).read_text().splitlines()
        rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
        scored[name] = {
            "a": [row[0] for row in rows],
            "b": [row[1] for row in rows],
            "score": [float(row[2]) for row in rows],
        }
    asked: dict[str, list[Any]] = {part: [] for part in ("group", "a", "b", "c", "d")}
    group = ""
    for line in Path(datapath("questions-words.txt")).read_text().splitlines():
        if line.startswith(":"):
            group = line[2:]
            continue
        for part, word in zip(asked, [group, *line.split()], strict=True):
            asked[part].append(word)
    return {"words": scored, "analogies": {"questions": asked}}


@dataclass
class Judged:
    """Stands for a corpus where `words` looks for tables."""

    found: dict[str, dict[str, dict[str, list[Any]]]]

    def tables(self, kind: str) -> dict[str, dict[str, list[Any]]]:
        return self.found[kind]


class Table(TextEncoder):
    """Any table of words."""

    def __init__(self, found: dict[str, Tensor]) -> None:
        torch.nn.Module.__init__(self)
        self.found = found

    def words(self) -> dict[str, Tensor]:
        return self.found


def scores(table: TextEncoder, judged: Judged, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        found = judge.run(table, judged, None, Path(out), seed=seed, common=COMMON)  # type: ignore[arg-type]
    return {name: value for name, value in found.items() if not name.endswith(".chance")}


def ours(pretext: Pretext, train: dict[str, Any], seed: int) -> TextEncoder:
    with tempfile.TemporaryDirectory() as scratch:
        loop.fit(pretext, seed=seed, scratch=Path(scratch) / "run", label=f"word2vec {seed}", **train)
    assert isinstance(pretext.encoder, TextEncoder)
    return pretext.encoder.eval()


def sentences(pretext: Any) -> Iterator[list[str]]:
    """The very words that ours reads: those with an entry, of the sentences that are samples."""
    packed = pretext.reader.packed
    spelled = np.array(packed.vocabulary.entries)
    for sentence in packed.examples[:, 0]:
        ids = packed.tokens[packed.offsets[sentence] : packed.offsets[sentence + 1]]
        yield list(spelled[ids[ids >= packed.vocabulary.specials]])


def gensims(text: list[list[str]], model: dict[str, Any], method: str, passes: int, seed: int) -> Table:
    tree = model["softmax"] == "hierarchical"
    found = Word2Vec(
        text, sg=int(method == "skipgram"), vector_size=model["dim"], window=model["window"], sample=model["subsample"],
        negative=0 if tree else model["negatives"], hs=int(tree), min_count=1, epochs=passes, seed=seed, workers=1,
    )  # fmt: skip
    wv = found.wv
    return Table({word: torch.from_numpy(wv[word].copy()) for word in wv.index_to_key})


def compare(corpus: Texts, method: str, passes: int) -> None:
    job = cli.job(cli.load(), "text", method)
    kind, model = modalities.pretext("text", method), job.params["model"]
    judged = Judged(tables())
    found: dict[str, list[dict[str, float]]] = {"ours": [], "gensim": []}
    with tempfile.TemporaryDirectory() as folder:
        job.call(kind.build, "build", corpus, Path(folder), seed=0)
        text: list[list[str]] = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            pretext: Any = kind(
                job.call(modalities.encoder("text"), "encoder"), corpus, Path(folder), **model
            )
            text = text or list(sentences(pretext))
            train = job.params["train"] | {"samples": passes * pretext.samples(), "device": "cpu"}
            for side, runs in found.items():
                began = time.monotonic()
                mine = side == "ours"
                table = ours(pretext, train, seed) if mine else gensims(text, model, method, passes, seed)
                took = {"seconds": round(time.monotonic() - began, 1)}
                runs.append(scores(table, judged, seed))
                print(json.dumps({"seed": seed, "side": side} | runs[-1] | took), flush=True)
    size = {"words": sum(map(len, text)), "megabytes": round(len(corpus.text) / 1e6, 1)}
    print(json.dumps({"method": method, "passes": passes} | size | summary(found)))


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Of each score: mean and deviation of both sides, and ours less gensim's."""
    about: dict[str, Any] = {}
    for name in found["ours"][0]:
        both = {side: [each[name] for each in runs] for side, runs in found.items()}
        mean = {side: statistics.mean(runs) for side, runs in both.items()}
        about[name] = {side: [round(mean[side], 4), round(statistics.stdev(both[side]), 4)] for side in both}
        about[name]["difference"] = round(mean["ours"] - mean["gensim"], 4)
    return about


if __name__ == "__main__":
    path, method, passes = [*sys.argv[1:], *("artifacts/corpus/text", "skipgram", "5")[len(sys.argv) - 1 :]]
    opened: Any = modalities.corpus("text")(Path(path))
    compare(opened.only("train"), method, int(passes))
