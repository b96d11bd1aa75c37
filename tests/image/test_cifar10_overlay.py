"""The settings for 200 epochs on CIFAR-10, which want a GPU: their first two epochs on the CPU, of few pictures.

At full width without bfloat16, and in bfloat16 with a narrow network: a CPU that has no such numbers takes minutes for
six steps. Where a corpus must be larger than a setting, that setting is smaller.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import modalities
from pipelines import swap
from stages import cli, loop
from tests.conftest import ROOT, image_methods, params, pictures

PICTURES, BATCH, NARROW = 64, 16, 8  # three quarters are for training
FEWER = {
    "synthetic": ("build", "count"),
    "swav": ("model", "prototypes"),
    "deepcluster": ("model", "clusters"),
}


def settings() -> Any:
    found = params()
    swap.merge(found, cli.load(ROOT / "params" / "cifar10.yaml"), "cifar10.yaml")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in image_methods() if name != "random"])
@pytest.mark.parametrize("amp", [False, True])
def test_two_epochs_train(method: str, amp: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = cli.job(settings(), "image", method)
    corpus = pictures(PICTURES, 32).only("train")
    kind = modalities.pretext("image", method)
    assert job.params["encoder"]["width"] == 64 and job.params["train"]["amp"] is True
    job.params["train"] |= {"amp": amp}
    if amp:
        job.params["encoder"] |= {"width": NARROW}
        job.params["model"] |= {key: NARROW for key in ("width", "channels") if key in job.params["model"]}
    if method in FEWER:
        block, key = FEWER[method]
        job.params[block] |= {key: 16}
    job.call(kind.build, "build", corpus, tmp_path, seed=0)
    torch.manual_seed(0)
    pretext = job.call(kind, "model", job.call(modalities.encoder("image"), "encoder"), corpus, tmp_path)
    batch = min(BATCH, pretext.samples())
    job.params["train"] |= {"batch": batch, "samples": 2 * (pretext.samples() // batch) * batch, "health": 16}
    rows = job.call(loop.fit, "train", pretext, seed=0, scratch=tmp_path / "run", label=method)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["loss"] == row["loss"] and row["std"] > 0 for row in rows)
