"""What is handed on: the right encoder, which its own example can load and use."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modalities.image.encoders import ResNet
from stages import export, store
from tests.conftest import ROOT
from tests.stages.conftest import write_params


def real_encoder(method: str, seed: int) -> ResNet:
    """A tiny ResNet in place of the made-up weights, with its metrics moved to it."""
    folder = store.model_path("image", method, seed)
    about = json.loads((folder / "encoder.json").read_text())
    torch.manual_seed(seed)
    encoder = ResNet(arch="resnet18", width=8, stem="3x3", norm="group", side=16)
    store.save_encoder(encoder, folder, **about)
    for stage in ("probe", "transfer"):
        path = store.metrics_path("image", method, seed, stage)
        digest = store.digest(folder / "encoder.safetensors")
        store.write_json(path, json.loads(path.read_text()) | {"encoder": digest})
    return encoder.eval()


def stage(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_the_example_loads_the_exported_encoder_and_reads_pictures(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    encoder = real_encoder("simclr", 17)
    assert export.export(tree) == ["image: simclr, seed 17 -> artifacts/export/image"]
    folder = export.EXPORT / "image"
    assert {p.name for p in folder.iterdir()} == {
        "README.md",
        "encoder.json",
        "encoder.safetensors",
        "example.py",
    }
    rng = np.random.default_rng(0)
    for k, mode in enumerate(("RGB", "RGBA", "L")):
        pixels = Image.fromarray(rng.integers(0, 255, (20, 31, 4), np.uint8), "RGBA").convert(mode)
        pixels.save(tmp_path / f"{k}.png")
    done = stage(str(folder / "example.py"), *(f"{tmp_path}/{k}.png" for k in range(3)))
    assert (done.returncode, done.stdout) == (0, "(3, 64)\n"), done.stderr
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(store.load_encoder(folder)(images), encoder(images))


def test_the_readme_states_licence_numbers_and_protocol(tree: dict[str, Any]) -> None:
    export.export(tree)
    text = (export.EXPORT / "image" / "README.md").read_text()
    for part in (
        "CC BY-SA 4.0",
        "SimCLR",
        "30,000 samples",
        "frozen encoder",
        "| linear | accuracy | 0.6",
        "0.143",
    ):
        assert part in text, part


def test_the_first_seed_that_counts_is_taken(tree: dict[str, Any]) -> None:
    store.metrics_path("image", "simclr", 17, "probe").unlink()
    assert export.export(tree) == ["image: simclr, seed 18 -> artifacts/export/image"]


def test_baselines_are_never_the_best(tree: dict[str, Any]) -> None:
    tree["run"] = {"image": ["random", "supervised"]}
    assert export.export(tree) == ["image: no self-supervised method has been judged: not exported"]
    assert list(export.EXPORT.iterdir()) == []  # which DVC takes for an output that is there


def test_one_run_by_name_lies_where_no_stage_throws_it_away(tree: dict[str, Any]) -> None:
    done = stage("-m", "stages.export", "image", "rotation", "18")
    assert done.stdout == "image: rotation, seed 18 -> artifacts/picked/image-rotation-18\n", done.stderr
    about = json.loads(Path("artifacts/picked/image-rotation-18/encoder.json").read_text())
    assert (about["method"], about["seed"]) == ("rotation", 18)


def test_a_run_that_params_yaml_no_longer_lists_can_be_handed_on(tree: dict[str, Any]) -> None:
    tree["run"] = {"image": ["random", "rotation"]}
    export.export_one(tree, "image", "simclr", 19)
    assert "| linear | accuracy |" in (export.PICKED / "image-simclr-19" / "README.md").read_text()


def test_a_run_without_an_encoder_is_one_line(tree: dict[str, Any]) -> None:
    done = stage("-m", "stages.export", "image", "colorization", "17")
    assert done.returncode == 1
    assert "artifacts/models/image/colorization/17 holds no encoder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_name_is_answered_with_the_nearest(tree: dict[str, Any]) -> None:
    write_params(tree)
    done = stage("-m", "stages.export", "image", "rotatoin", "17")
    assert done.returncode == 2 and "did you mean rotation?" in done.stderr


@pytest.mark.parametrize("words", [["image"], ["image", "rotation", "first"]])
def test_a_wrong_command_line_is_answered_with_the_right_one(project: Path, words: list[str]) -> None:
    done = stage("-m", "stages.export", *words)
    assert (done.returncode, done.stderr) == (2, "usage: python -m stages.export [MODALITY METHOD SEED]\n")
