"""Feature maps: scikit-learn's components, one palette for all pictures, and the encoder as it was."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.transfers import feature_maps


def test_colours_are_the_first_three_components_of_scikit_learn() -> None:
    maps = torch.randn(3, 6, 4, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7).view(
        1, 6, 1, 1
    )
    found = feature_maps.colours(maps).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    places = maps.permute(0, 2, 3, 1).reshape(-1, 6).numpy()
    model = PCA(3, svd_solver="full").fit(places)
    for k, axis in enumerate(model.components_):
        scores = model.transform(places)[:, k] * np.sign(axis[np.abs(axis).argmax()])
        low, high = np.quantile(scores, feature_maps.TAILS)
        np.testing.assert_allclose(found[:, k], np.clip((scores - low) / (high - low), 0, 1), atol=1e-4)


def test_strength_is_a_mean_over_channels_on_one_scale() -> None:
    maps = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(1))
    found, plain = feature_maps.strength(maps), maps.abs().mean(1, keepdim=True)
    assert found.shape == (2, 1, 8, 8) and found.min() == 0 and found.max() == 1
    inside = (found > 0) & (found < 1)
    slopes = torch.diff(found[inside]) / torch.diff(plain[inside])
    torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes), rtol=1e-2, atol=1e-2)


def test_two_channels_and_nothing_that_differs() -> None:
    few = feature_maps.colours(torch.randn(2, 2, 3, 3))
    assert few.shape == (2, 3, 3, 3) and (few[:, 2] == 0.5).all() and not (few[:, 0] == 0.5).all()
    assert (feature_maps.strength(torch.ones(2, 4, 3, 3)) == 0.5).all()


def test_it_draws_some_test_pictures_and_leaves_the_encoder(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    before = copy.deepcopy(tiny_encoder.state_dict())
    tiny_encoder.train()
    assert feature_maps.run(tiny_encoder, toy_images, None, tmp_path, seed=0, pictures=5) == {}
    assert tiny_encoder.training
    assert all(torch.equal(value, before[name]) for name, value in tiny_encoder.state_dict().items())
    first = (tmp_path / "feature_maps.png").read_bytes()
    stages = len(tiny_encoder.eval().maps(torch.zeros(1, 3, 16, 16)))
    with Image.open(tmp_path / "feature_maps.png") as sheet:
        assert sheet.height == 6 + (1 + 2 * stages) * 102 and sheet.width == 96 + 5 * 102
    feature_maps.run(tiny_encoder, toy_images, None, tmp_path, seed=3, pictures=5)
    assert (tmp_path / "feature_maps.png").read_bytes() == first


def test_where_there_are_no_maps_and_a_wrong_count(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"feature_maps\.pictures is 0"):
        feature_maps.run(tiny_encoder, toy_images, None, tmp_path, seed=0, pictures=0)
    monkeypatch.delattr(type(tiny_encoder), "maps")
    assert feature_maps.run(tiny_encoder, toy_images, None, tmp_path, seed=0, pictures=2) == {}
    assert not list(tmp_path.iterdir())
