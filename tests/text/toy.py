"""Toy documents of a few kilobytes, made in memory, and text pretexts made small enough to train in a test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import modalities
from modalities.base import Pretext
from modalities.text.corpus import Texts
from modalities.text.encoders import Trunk, encoder
from stages import cli
from tests.conftest import params, toy_keys

TOPICS = (
    ("ship", "harbour", "sailor", "storm", "anchor", "wave"),
    ("baker", "oven", "bread", "flour", "butter", "cake"),
    ("judge", "court", "lawyer", "verdict", "witness", "trial"),
    ("farmer", "field", "wheat", "tractor", "barn", "harvest"),
)
FRAMES = (
    "The {0} saw the {1} near the {2} .",
    "A {2} was with the {0} and the {1} .",
    "Then every {1} left the {2} .",
    "Was the {0} in the {1} ?",
    "Yesterday the old {2} asked for a {0} .",
)
SIZE: dict[str, Any] = {
    "vocabulary": 512, "layers": 2, "width": 32, "heads": 4, "positions": 64, "dropout": 0.0, "pool": "mean",
}  # fmt: skip


def of(
    documents: Sequence[Sequence[str]],
    *,
    labels: Sequence[int] = (),
    splits: Sequence[str] = (),
    summaries: Sequence[str] = (),
) -> Texts:
    """A corpus of documents, each a list of sentences in one paragraph; without labels, all for training."""
    count = len(documents)
    spans, sentences, first = [], [], [0]
    text = bytearray()
    for document in documents:
        start = len(text)
        for sentence in document:
            text += b" " if len(text) > start else b""
            sentences.append((len(text), len(text) + len(sentence.encode())))
            text += sentence.encode()
        spans.append((start, len(text)))
        text += b"\n\n"
        first.append(len(sentences))
    return Texts(
        text=np.frombuffer(bytes(text), np.uint8),
        ids=[f"{k:016x}" for k in range(count)],
        labels=np.array(labels if len(labels) else [-1] * count, np.int64),
        splits=np.array(splits if len(splits) else ["train"] * count),
        classes=[f"class {k}" for k in range(max(labels, default=-1) + 1)],
        spans=np.array(spans, np.int64).reshape(-1, 2),
        first=np.array(first, np.int64),
        sentences=np.array(sentences, np.int64).reshape(-1, 2),
        paragraphs=np.zeros(len(sentences), np.int64),
        titles=[f"Title {k}" for k in range(count)],
        summaries=list(summaries) if len(summaries) else [""] * count,
    )


def documents(count: int, seed: int = 0) -> Texts:
    """Documents of 4 to 8 sentences about one of four topics, which is the label; a quarter of them for the test."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        topic = TOPICS[k % len(TOPICS)]
        made.append(
            [str(rng.choice(FRAMES)).format(*rng.permutation(topic)[:3]) for _ in range(rng.integers(4, 9))]
        )
    labels = [k % len(TOPICS) for k in range(count)]
    splits = ["test" if k // len(TOPICS) % 4 == 3 else "train" for k in range(count)]
    return of(made, labels=labels, splits=splits)


def tiny_trunk(**changes: Any) -> Trunk:
    """Two layers, 32 wide, with the same weights every time; it has no vocabulary yet."""
    torch.manual_seed(0)
    return encoder(**(SIZE | changes))


def make(method: str, corpus: Texts, built: Path, **changes: Any) -> Pretext:
    """A text pretext with the blocks of params.yaml and of its own test, built in a folder, on a tiny trunk.

    That test's `TOY` may have "build", "model" and, for the trunk, "trunk".
    """
    job, toy = cli.job(params(), "text", method), toy_keys(method, "text")
    kind = modalities.pretext("text", method)
    built.mkdir(parents=True, exist_ok=True)
    block = job.params["build"] | toy.get("build", {})
    if "size" in block and "size" not in toy.get("build", {}):
        block["size"] = SIZE["vocabulary"]
    if "length" in block and "length" not in toy.get("build", {}):
        block["length"] = 24
    kind.build(corpus, built, seed=0, **block)
    trunk = tiny_trunk(**(toy.get("trunk", {}) | changes))
    return kind(trunk, corpus, built, **(job.params["model"] | toy.get("model", {})))
