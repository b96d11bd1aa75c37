"""The probe stage: its features, its metrics, what it checks first and what it imports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import modalities
from modalities.base import Features
from modalities.common import embedding
from modalities.image.corpus import Images
from stages import cli, probe, store
from tests.conftest import ROOT
from tests.stages.project import SEED, corpus, job, lay_out, one_thread

__all__ = ["corpus", "one_thread"]  # fixtures


def test_features_are_those_of_each_picture_alone(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "READ", 7)
    probe.probe(job())
    vectors = store.load_vectors(store.features_path("image", "rotation", SEED))
    encoder = store.load_encoder(store.model_path("image", "rotation", SEED))
    with torch.no_grad():
        alone = torch.cat([encoder(encoder.read(corpus, np.array([k]))) for k in range(len(corpus))])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, alone.numpy(), rtol=1e-4, atol=1e-5)


def test_every_probe_is_run_on_these_features_with_the_seed(corpus: Images) -> None:
    found = probe.probe(job())
    vectors = store.load_vectors(store.features_path("image", "rotation", SEED))
    features = Features(vectors, corpus.labels, corpus.splits, corpus.ids, corpus.classes)
    assert list(found) == ["encoder", "knn", "labels", "linear"]
    for name, params in job().params["probes"].items():
        assert found[name] == modalities.probe(name)(features, seed=SEED, **params)
    file = store.model_path("image", "rotation", SEED) / "encoder.safetensors"
    assert found["encoder"] == store.digest(file)
    json.dumps(found, allow_nan=False)


def test_a_second_run_writes_the_same_bytes(corpus: Images) -> None:
    folder = store.features_path("image", "rotation", SEED)
    first = probe.probe(job()), store.digest(folder)
    assert (probe.probe(job()), store.digest(folder)) == first


def test_no_gradient_and_no_statistic_reaches_the_encoder(corpus: Images) -> None:
    encoder = store.load_encoder(store.model_path("image", "rotation", SEED))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    probe.embed(encoder.train(), corpus)
    assert all(parameter.grad is None for parameter in encoder.parameters())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_without_probes_the_features_are_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, probes={})
    assert list(probe.probe(job())) == ["encoder"]
    assert len(store.load_vectors(store.features_path("image", "rotation", SEED))) == 64


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ({"knm": {}}, 'no probe "knm"; have knn, labels, linear, retrieval; did you mean knn'),
        (
            {"knn": {"k": 5, "temprature": 0.1}},
            r"unknown key image\.probes\.knn\.temprature; did you mean temper",
        ),
        ({"knn": {"k": 5}}, r"image\.probes\.knn\.temperature is missing"),
        ({"knn": None}, r"image\.probes\.knn is None; it needs a block"),
    ],
)
def test_a_wrong_block_fails_before_anything_is_encoded(
    probes: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, probes=probes)
    with pytest.raises(ValueError, match=message):
        probe.probe(job())
    assert not store.features_path("image", "rotation", SEED).exists()


def test_an_encoder_that_has_diverged_is_one_clear_line(corpus: Images) -> None:
    folder = store.model_path("image", "rotation", SEED)
    encoder = store.load_encoder(folder)
    with torch.no_grad():
        next(encoder.parameters()).fill_(torch.nan)
    store.save_encoder(encoder, folder, modality="image")
    with pytest.raises(ValueError, match="features that are not finite"):
        probe.probe(job())


def test_an_encoder_that_is_not_there_names_the_way_out(corpus: Images) -> None:
    missing = cli.job(cli.load(), "image", "simclr", SEED)
    with pytest.raises(FileNotFoundError, match=r"image/simclr/17 holds no encoder; run `dvc repro`"):
        probe.probe(missing)


def test_nothing_heavy_is_imported_to_read_features() -> None:
    names = (
        "torchvision",
        "transformers",
        "prefect",
        "plotly",
        "sklearn",
        "pandas",
        "PIL",
        "numba",
        "torch._dynamo",
    )
    fit = "logistic.fit(torch.eye(4).double(), torch.arange(4), strengths=[1.0], tolerance=1e-3)"
    code = (
        "import sys, torch; import stages.probe; from modalities.probes import knn, linear, labels;"
        f"from modalities.common import logistic; {fit};"
        f"print([name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
