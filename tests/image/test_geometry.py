"""Alignment, uniformity and ranks: against double loops, against what is known of special clouds, and on an encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.health import effective_rank
from modalities.image.augment import Recipe
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.transfers import geometry
from tests.conftest import pictures

RECIPE: dict[str, Any] = {
    "scale": [0.2, 1.0], "jitter": [0.4, 0.4, 0.4, 0.1], "jitter_share": 0.8, "gray": 0.2, "blur": 0.0,
    "solarise": 0.0, "flip": 0.5,
}  # fmt: skip
SAME: dict[str, Any] = RECIPE | {"scale": [1.0, 1.0], "jitter_share": 0.0, "gray": 0.0, "flip": 0.0}


def test_alignment_and_uniformity_equal_double_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(200, 16, generator=generator) * 3 + 1
    second = first + torch.randn(200, 16, generator=generator)
    x, y = first.double().numpy(), second.double().numpy()
    x, y = x / np.linalg.norm(x, axis=1)[:, None], y / np.linalg.norm(y, axis=1)[:, None]
    apart = [sum((x[k, d] - y[k, d]) ** 2 for d in range(16)) for k in range(200)]
    assert geometry.alignment(first, second) == pytest.approx(np.mean(apart), rel=1e-5)
    pairs = [np.exp(-2 * np.sum((x[i] - x[j]) ** 2)) for i in range(200) for j in range(i + 1, 200)]
    assert geometry.uniformity(first) == pytest.approx(np.log(np.mean(pairs)), rel=1e-6)


def test_the_bounds_are_those_of_the_paper() -> None:
    one = torch.ones(50, 8)
    assert geometry.alignment(one, one) == 0 and geometry.uniformity(one) == pytest.approx(0, abs=1e-6)
    assert geometry.alignment(one, -one) == pytest.approx(4)
    sphere = torch.randn(400, 512, generator=torch.Generator().manual_seed(1))
    assert geometry.uniformity(sphere) == pytest.approx(-4, abs=0.05)


def test_ranks_equal_those_of_eigenvalues_in_float64() -> None:
    basis = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(2)))[0]
    assert effective_rank(basis[:, :6] @ basis[:6]) == pytest.approx(6, abs=1e-2)
    cloud = torch.randn(300, 12, generator=torch.Generator().manual_seed(3)) * torch.linspace(0.1, 2, 12)
    singular = np.sqrt(np.linalg.eigvalsh((cloud.T @ cloud).double().numpy()))
    share = singular / singular.sum()
    assert effective_rank(cloud) == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-3)
    other = np.linalg.eigvalsh(np.cov(cloud.double().numpy().T, bias=True))
    np.testing.assert_allclose(geometry.covariance(cloud).numpy(), other, rtol=1e-6)


def test_on_an_encoder_of_the_test_split_alone(toy_images: Images, tiny_encoder: ImageEncoder) -> None:
    corpus = pictures(96, 20)
    found = geometry.run(tiny_encoder, corpus, None, Path(), seed=0, limit=0, recipe=RECIPE)
    rows = np.flatnonzero(corpus.splits == "test")
    with torch.no_grad():
        vectors = tiny_encoder.eval()(tiny_encoder.read(corpus, rows))
    assert found["uniformity"] == pytest.approx(geometry.uniformity(vectors), rel=1e-4)
    assert found["effective_rank"] == pytest.approx(effective_rank(vectors), rel=1e-3)
    eigen = np.linalg.eigvalsh(np.cov(vectors.double().numpy().T))
    ratio = eigen.sum() ** 2 / (eigen**2).sum()
    assert found["participation_ratio"] == pytest.approx(ratio, rel=1e-3)
    assert found["live_share"] == (vectors.std(0) >= 1e-4).float().mean()
    again = geometry.run(tiny_encoder, corpus, None, Path(), seed=0, limit=0, recipe=RECIPE)
    assert again == found
    other = geometry.run(tiny_encoder, corpus, None, Path(), seed=1, limit=0, recipe=RECIPE)
    assert other["alignment"] != found["alignment"] and other["uniformity"] == found["uniformity"]
    fewer = geometry.run(tiny_encoder, corpus, None, Path(), seed=0, limit=16, recipe=RECIPE)
    assert fewer["effective_rank"] <= 16 and fewer["uniformity"] != found["uniformity"]


def test_alignment_is_of_views_and_zero_where_views_are_the_pictures(tiny_encoder: ImageEncoder) -> None:
    corpus = pictures(96, 16)
    rows = np.flatnonzero(corpus.splits == "test")
    whole, first, second = geometry.encoded(
        tiny_encoder, corpus, rows, Recipe(**SAME), np.random.default_rng(0)
    )
    torch.testing.assert_close(first, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(first, second)
    found = geometry.run(tiny_encoder, corpus, None, Path(), seed=0, limit=0, recipe=SAME)
    assert found["alignment"] == pytest.approx(0, abs=1e-6)


def test_few_pictures_and_a_wrong_limit(toy_images: Images, tiny_encoder: ImageEncoder) -> None:
    assert geometry.run(tiny_encoder, toy_images, None, Path(), seed=0, limit=0, recipe=RECIPE) == {}
    with pytest.raises(ValueError, match=r"image\.transfers\.geometry\.limit is -1"):
        geometry.run(tiny_encoder, toy_images, None, Path(), seed=0, limit=-1, recipe=RECIPE)
