"""Toy corpora of a few kilobytes, made in memory, and pretexts made small enough to train in a test."""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modalities
from modalities.base import Pretext
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from stages import cli

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
torch.set_num_threads(1)  # pytest runs two processes: threads of both would wait for each other
ROOT = Path(__file__).resolve().parents[1]


def pictures(count: int, side: int, seed: int = 0, classes: int = 4) -> Images:
    """Bright bars on a gradient: their angle is the class, their place and colour are chance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    labels = np.arange(count) % classes
    out = np.empty((count, side, side, 3), np.uint8)
    for k, label in enumerate(labels):
        angle = np.pi * label / classes + rng.normal(0, 0.05)
        away = np.abs(x * np.sin(angle) - y * np.cos(angle) + rng.uniform(-0.2, 0.2))
        colour, ground = rng.uniform(100, 255, 3), rng.uniform(0, 80, 3) * (y[..., None] + 1)
        out[k] = np.where((away < 0.12)[..., None], colour, ground) + rng.uniform(0, 5, (side, side, 3))
    return Images(
        shards=[out[: count // 2], out[count // 2 :]],
        ids=[f"{k:04x}" for k in range(count)],
        labels=labels.astype(np.int64),
        splits=np.array(["test" if k // classes % 4 == 3 else "train" for k in range(count)]),
        classes=[f"class {k}" for k in range(classes)],
        rows=np.arange(count),
    )


@pytest.fixture
def toy_images() -> Images:
    """48 pictures of 20 px in two shards, four classes, three quarters of them for training."""
    return pictures(48, 20)


@pytest.fixture
def tiny_encoder() -> ImageEncoder:
    """A ResNet-18 eight channels wide at 16 px."""
    torch.manual_seed(0)
    return encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)


def params() -> dict[str, Any]:
    """params.yaml of the project."""
    return cli.load(ROOT / "params.yaml")


def image_methods() -> list[str]:
    return modalities.names("image", "pretexts")


def make(method: str, corpus: Images, built: Path, *, norm: Any = "batch", side: int = 16) -> Pretext:
    """A pretext of pictures with the model block of params.yaml, on a tiny encoder, built in a folder."""
    job, toy = cli.job(params(), "image", method), toy_keys(method)
    kind = modalities.pretext("image", method)
    built.mkdir(parents=True, exist_ok=True)
    kind.build(corpus, built, seed=0, **(job.params["build"] | toy.get("build", {})))
    torch.manual_seed(0)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm=norm, side=side)
    return kind(trunk, corpus, built, **(job.params["model"] | toy.get("model", {})))


def toy_keys(method: str, modality: str = "image") -> dict[str, dict[str, Any]]:
    """What a method's own test file asks for on a toy corpus: `TOY = {"build": {...}, "model": {...}}`."""
    name = f"tests.{modality}.test_{method}"
    found = importlib.import_module(name) if importlib.util.find_spec(name) else None
    toy: dict[str, dict[str, Any]] = getattr(found, "TOY", {})
    return toy


def train_keys(modality: str = "image", **changes: Any) -> dict[str, Any]:
    """Keywords of the loop for a run of a few seconds."""
    found = dict(params()[modality]["train"])
    return found | {"samples": 96, "batch": 8, "health": 16} | changes
