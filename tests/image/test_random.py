"""Random: the weights of the seed and nothing else; batch-norm statistics of the data."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.image.corpus import Images
from modalities.image.encoders import encoder
from modalities.image.pretexts.random import Random
from stages import loop
from tests.conftest import train_keys


def run(corpus: Images, folder: Path, calibrate: bool) -> Random:
    torch.manual_seed(5)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    pretext = Random(trunk, corpus, folder, calibrate=calibrate)
    keys = train_keys(samples=0)
    rows = loop.fit(pretext, seed=5, scratch=folder / "scratch", label="toy random", **keys)
    assert len(rows) == 1 and rows[0]["std"] > 0 and "loss" not in rows[0]
    return pretext


def fresh() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16).state_dict()


def test_without_calibration_the_encoder_is_that_of_the_seed(toy_images: Images, tmp_path: Path) -> None:
    state = run(toy_images, tmp_path, calibrate=False).encoder.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in fresh().items())


def test_calibration_sets_statistics_and_leaves_weights(toy_images: Images, tmp_path: Path) -> None:
    pretext = run(toy_images, tmp_path, calibrate=True)
    made = fresh()
    assert all(torch.equal(p, made[name]) for name, p in pretext.encoder.named_parameters())
    first = pretext.encoder.get_submodule("stem.1")
    images = pretext.encoder.read(toy_images, np.arange(len(toy_images)))
    before = pretext.encoder.get_submodule("stem.0")(pretext.encoder.normalised(images))
    assert isinstance(first, torch.nn.BatchNorm2d) and first.running_mean is not None
    torch.testing.assert_close(first.running_mean, before.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert first.momentum == 0.1


def test_random_is_never_trained(toy_images: Images, tmp_path: Path) -> None:
    torch.manual_seed(5)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    pretext = Random(trunk, toy_images, tmp_path, calibrate=True)
    with pytest.raises(ValueError, match=r"set image\.pretexts\.random\.train\.samples to 0"):
        loop.fit(pretext, seed=5, scratch=tmp_path / "scratch", label="toy", **train_keys(samples=32))
