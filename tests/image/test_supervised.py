"""Supervised: it learns labels, from labelled pictures alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.pretexts.supervised import Supervised
from stages import loop
from tests.conftest import train_keys


def test_on_separable_pictures_accuracy_reaches_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    pixels = rng.integers(0, 60, (64, 16, 16, 3)).astype(np.uint8)
    pixels[labels == 1] += 150
    corpus = Images(
        [pixels], [f"{k}" for k in range(64)], labels, np.full(64, "train"), ["a", "b"], np.arange(64)
    )
    torch.manual_seed(0)
    from modalities.image.encoders import encoder

    pretext = Supervised(
        encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16), corpus, tmp_path
    )
    rows = loop.fit(
        pretext, seed=0, scratch=tmp_path / "s", label="toy", **train_keys(samples=640, batch=16, lr=1e-2)
    )
    assert rows[-1]["accuracy"] == 1 and rows[-1]["loss"] < 0.1


def test_unlabelled_pictures_are_left_out(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    some = replace(toy_images, labels=np.where(np.arange(48) < 20, toy_images.labels, -1))
    pretext = Supervised(tiny_encoder, some, tmp_path)
    assert pretext.samples() == 20
    assert (pretext.batch(np.arange(20), np.random.default_rng(0))["label"] >= 0).all()
    assert pretext.chance() == {"accuracy": 5 / 20}


def test_a_corpus_without_labels_is_refused(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"supervised needs labels; take it out of run\.image"):
        Supervised(tiny_encoder, replace(toy_images, labels=np.full(48, -1)), tmp_path)
