"""Random: the weights of the seed and nothing else; batch-norm statistics of the frames."""

from pathlib import Path

import pytest
import torch

from modalities.video.corpus import Videos
from modalities.video.pretexts.random import Random
from stages import loop
from tests.conftest import train_keys
from tests.video.toys import tiny


def run(corpus: Videos, folder: Path, calibrate: bool) -> Random:
    pretext = Random(tiny(), corpus, folder, calibrate=calibrate)
    rows = loop.fit(
        pretext, seed=5, scratch=folder / "s", label="toy random", **train_keys("video", samples=0)
    )
    assert len(rows) == 1 and rows[0]["std"] > 0 and "loss" not in rows[0]
    return pretext


def test_without_calibration_the_encoder_is_that_of_the_seed(toy_videos: Videos, tmp_path: Path) -> None:
    state = run(toy_videos, tmp_path, calibrate=False).encoder.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in tiny().state_dict().items())


def test_calibration_sets_statistics_and_leaves_weights(toy_videos: Videos, tmp_path: Path) -> None:
    pretext, made = run(toy_videos, tmp_path, calibrate=True), tiny()
    assert all(torch.equal(p, made.get_parameter(name)) for name, p in pretext.encoder.named_parameters())
    import numpy as np

    inner = pretext.encoder.encoder
    clips = pretext.encoder.read(toy_videos, np.arange(len(toy_videos)))
    frames = clips.transpose(1, 2).flatten(0, 1)
    before = inner.get_submodule("stem.0")(inner.normalised(frames))  # type: ignore[operator]
    first = inner.get_submodule("stem.1")
    assert isinstance(first, torch.nn.BatchNorm2d) and first.running_mean is not None
    torch.testing.assert_close(first.running_mean, before.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert first.momentum == 0.1


def test_random_is_never_trained(toy_videos: Videos, tmp_path: Path) -> None:
    pretext = Random(tiny(), toy_videos, tmp_path, calibrate=True)
    with pytest.raises(ValueError, match=r"set video\.pretexts\.random\.train\.samples to 0"):
        loop.fit(pretext, seed=5, scratch=tmp_path / "s", label="toy", **train_keys("video", samples=32))
