"""The settings for 200 epochs on CIFAR-10, which want a GPU: their first two epochs on the CPU, of few pictures."""

from pathlib import Path
from typing import Any

import pytest
import torch

import modalities
from pipelines import swap
from stages import cli, loop
from tests.conftest import ROOT, image_methods, params, pictures

# Three quarters are for training: of many, more than the overlay has prototypes and clusters.
FEW, MANY, BATCH = 180, 720, 45


def settings() -> Any:
    found = params()
    swap.merge(found, cli.load(ROOT / "params" / "cifar10.yaml"), "cifar10.yaml")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in image_methods() if name != "random"])
def test_two_epochs_at_full_width_train_in_bfloat16(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = cli.job(settings(), "image", method)
    corpus = pictures(MANY if method in ("swav", "deepcluster") else FEW, 32).only("train")
    kind = modalities.pretext("image", method)
    build = job.params["build"]
    job.params["build"] = (
        build | {"count": min(build.get("count", 0), 64)} if method == "synthetic" else build
    )
    job.call(kind.build, "build", corpus, tmp_path, seed=0)
    torch.manual_seed(0)
    pretext = job.call(kind, "model", job.call(modalities.encoder("image"), "encoder"), corpus, tmp_path)
    batch = min(BATCH, pretext.samples())
    job.params["train"] |= {"batch": batch, "samples": 2 * (pretext.samples() // batch) * batch, "health": 64}
    rows = job.call(loop.fit, "train", pretext, seed=0, scratch=tmp_path / "run", label=method)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["loss"] == row["loss"] and row["std"] > 0 for row in rows)
