"""A small project in a folder: what ingest and pretraining would have left for probe and transfer."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ruamel.yaml import YAML

import modalities
from modalities.common.device import threads
from modalities.image.corpus import Images
from stages import cli, store
from tests.conftest import params, pictures

SEED = 17


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Batches of a few small pictures: two threads would spend their time waiting for each other."""
    with threads(1):
        yield


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path)


def lay_out(folder: Path, **image: Any) -> Images:
    """Write params.yaml (with changes to its image block), a corpus of 64 toy pictures and an encoder `rotation`.

    Meant for the current folder of a test. Returns the corpus.
    """
    settings = params()
    small: dict[str, Any] = {
        "encoder": {"arch": "resnet18", "width": 8, "stem": "3x3", "norm": "batch", "side": 16},
        "probes": {
            "knn": {"k": 5, "temperature": 0.07},
            "linear": {"strengths": [1e-3, 1e-1], "held_out": 0.2},
            "labels": {"fractions": [0.1, 1.0], "draws": 2, "strength": 1e-2},
        },
        "transfers": {
            "fine_tune": {
                "fractions": [0.1, 0.5], "draws": 1, "samples": 16, "batch": 8, "optimizer": "adamw", "lr": 1e-3,
                "weight_decay": 1e-2, "head_lr": 10.0,
            }
        },
    }  # fmt: skip
    settings["image"] |= small | image
    YAML(typ="safe").dump(settings, folder / "params.yaml")
    corpus = pictures(64, 20)
    corpus = replace(corpus, splits=np.where(np.arange(64) // 4 % 4 == 3, "test", "train"))
    write_corpus(corpus, folder / store.corpus_path("image"))
    torch.manual_seed(0)
    encoder = modalities.encoder("image")(**settings["image"]["encoder"])
    store.save_encoder(encoder, folder / store.model_path("image", "rotation", SEED), modality="image")
    return corpus


def write_corpus(corpus: Images, out: Path) -> None:
    out.mkdir(parents=True)
    for k, shard in enumerate(corpus.shards):
        np.save(out / f"images-{k:05d}.npy", shard)
    columns = {
        "id": corpus.ids,
        "source": corpus.ids,
        "label": [corpus.classes[label] if label >= 0 else None for label in corpus.labels],
        "split": corpus.splits.tolist(),
    }
    pq.write_table(pa.table(columns), out / "index.parquet")
    (out / "meta.json").write_text(json.dumps({"classes": corpus.classes, "fingerprint": "toy"}))


def job() -> cli.Job:
    return cli.job(cli.load(), "image", "rotation", SEED)
