"""Text against the usual route: `python -m benchmarks.text_input FILE [ROUNDS]`, a text file of some megabytes.

Three rows:

- pack: tokenise a corpus and pack it into rows of 128. The peer is `datasets.map` with a fast tokenizer, batched, in
  two processes, then the grouping into blocks of transformers' run_mlm.py, again by `map`. Ours is `packing.write`
  without the training of the vocabulary, and `packing.full_sentences`. Both use the same vocabulary and sentences, and
  end with rows on disk.
- mask: hide words in batches of 64 rows of 128. The peer is transformers' DataCollatorForLanguageModeling on the same
  rows; ours is the masking of `masked_words`.
- step: training steps of masked_words a second, beside the same step on one batch that is made once.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rates import measured, tell
from modalities.text import packing, vocabulary
from modalities.text.corpus import Texts
from modalities.text.corpus import corpus as open_corpus
from modalities.text.encoders import Size, Trunk
from modalities.text.ingest import ingest
from modalities.text.packing import Packed
from modalities.text.pretexts.masked_words import MaskedWords
from modalities.text.vocabulary import Vocabulary
from stages import cli

LENGTH, BATCH, PROCESSES, SIZE = 128, 64, 2, 8192
AGAINST = {
    "pack": ("datasets.map, two processes", 2.0),
    "mask": ("transformers' collator", 20.0),
    "step": ("the same step on one constant batch", 0.9),
}


def main(file: Path, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        keys = dict(cli.load()["text"]["ingest"]) | {"tasks": {}, "near": 2.0, "boilerplate": 0}
        keys.pop("source")
        with contextlib.redirect_stdout(io.StringIO()):
            ingest(str(file), folder / "corpus", **keys)
        texts = open_corpus(folder / "corpus")
        strings = texts.strings(range(len(texts.sentences)))
        own = vocabulary.train(strings, kind="wordpiece", size=SIZE, min_count=1)
        size = int(np.diff(texts.sentences).sum())
        print(f"{size / 1e6:.1f} MB, {len(strings):,} sentences", file=sys.stderr)
        pack(texts, strings, own, size, folder, rounds)
        pretext = masked_words(texts, folder / "built")
        mask(pretext, packing.read(folder / "built"), rounds)
        step(pretext, rounds)


def compare(
    row: str, unit: str, count: float, ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> None:
    name, asked = AGAINST[row]
    tell(f"text: {row}", unit, measured({"ours": (ours, count), name: (peer, count)}, rounds), asked)


def pack(texts: Texts, strings: list[str], own: Vocabulary, size: int, folder: Path, rounds: int) -> None:
    import datasets
    from transformers import PreTrainedTokenizerFast

    datasets.disable_progress_bars()
    peer_tokenizer = PreTrainedTokenizerFast(tokenizer_object=own.tokenizer)  # type: ignore[no-untyped-call]
    table = datasets.Dataset.from_dict({"text": strings})

    def encoded(rows: dict[str, list[str]]) -> Any:
        return peer_tokenizer(rows["text"], add_special_tokens=False, return_attention_mask=False)

    def grouped(rows: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = [token for row in rows["input_ids"] for token in row]
        end = len(joined) // LENGTH * LENGTH
        return {"input_ids": [joined[k : k + LENGTH] for k in range(0, end, LENGTH)]}

    def peer() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            tokens = table.map(
                encoded, batched=True, num_proc=PROCESSES, remove_columns=["text"], load_from_cache_file=False,
                cache_file_name=f"{cache}/a.arrow",
            )  # fmt: skip
            tokens.map(
                grouped, batched=True, num_proc=PROCESSES, load_from_cache_file=False,
                cache_file_name=f"{cache}/b.arrow",
            )  # fmt: skip

    def ours() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            packed = packing.tokenised(texts, strings, own, Path(out))
            packing.keep(Path(out), packing.full_sentences(packed, LENGTH, cross=True))

    compare("pack", "MB/s", size / 1e6, ours, peer, rounds)


def masked_words(texts: Texts, built: Path) -> MaskedWords:
    built.mkdir()
    keys: dict[str, Any] = {
        "kind": "wordpiece",
        "size": SIZE,
        "pack": "full_sentences",
        "short": 0.0,
        "copies": 0,
    }
    MaskedWords.build(texts, built, seed=0, length=LENGTH, **keys)
    size = Size(SIZE, 2, 128, 4, LENGTH, 0.0)
    trunk = Trunk(size=asdict(size), pool="mean", form="bert", factor=0, share=False)
    return MaskedWords(
        trunk,
        texts,
        built,
        rate=0.15,
        split=(0.8, 0.1, 0.1),
        unit="token",
        pair="none",
        factor=0,
        share=False,
    )


def mask(pretext: MaskedWords, packed: Packed, rounds: int) -> None:
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=packed.vocabulary.tokenizer, **special)  # type: ignore[no-untyped-call]
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    indices = [np.arange(k, k + BATCH) for k in range(0, min(pretext.samples() - BATCH, 20 * BATCH), BATCH)]
    lists = [rows(packed, index) for index in indices]

    def ours() -> None:
        for number, index in enumerate(indices):
            pretext.batch(index, np.random.default_rng(number))

    def peer() -> None:
        for some in lists:
            collate([{"input_ids": row} for row in some])

    compare("mask", "rows/s", float(BATCH * len(indices)), ours, peer, rounds)


def rows(packed: Packed, index: Any) -> list[list[int]]:
    """The same rows as lists of ids, as a data set hands them to a collator."""
    first, last = packed.examples[index].astype(np.int64).T
    table = packing.frame([packing.passage(packed, first, last, LENGTH - 2)], packed.vocabulary)
    return [row[row != packed.vocabulary.pad].tolist() for row in table]


def step(pretext: MaskedWords, rounds: int, steps: int = 30) -> None:
    optimizer = torch.optim.AdamW(pretext.parameters(), 1e-3, fused=True)
    one = pretext.batch(np.arange(BATCH), np.random.default_rng(0))
    pretext.train()

    def train(made: Callable[[int], Any]) -> None:
        for k in range(steps):
            optimizer.zero_grad(set_to_none=True)
            pretext(made(k))["loss"].backward()
            optimizer.step()

    def fresh(k: int) -> Any:
        rng = np.random.default_rng(k)
        return pretext.batch(rng.integers(0, pretext.samples(), BATCH), rng)

    compare(
        "step", "rows/s", float(BATCH * steps), lambda: train(fresh), lambda: train(lambda k: one), rounds
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m benchmarks.text_input FILE [ROUNDS]")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 3)
