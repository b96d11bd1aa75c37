"""Filters of the first layer: found by shape, drawn weight for weight."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from stages import filters


def save(folder: Path, **weights: tuple[int, ...]) -> Path:
    rng, path = np.random.default_rng(0), folder / "encoder.safetensors"
    save_file({name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}, path)
    return path


@pytest.mark.parametrize(
    ("weights", "shape"),
    [
        ({"stem": (16, 3, 7, 7), "stages": (16, 16, 3, 3), "bias": (16,)}, (16, 3, 7, 7)),
        ({"a_depthwise": (8, 1, 3, 3), "stem": (8, 3, 3, 3)}, (8, 3, 3, 3)),
        ({"stem": (4, 1, 5, 5)}, (4, 1, 5, 5)),
        ({"stem": (4, 3, 3, 5, 5)}, (4, 3, 5, 5)),  # of time too
        ({"patches": (4, 3, 1, 1), "words": (100, 3)}, None),
    ],
)
def test_the_first_convolution_of_pixels_is_found(
    tmp_path: Path, weights: dict[str, tuple[int, ...]], shape: tuple[int, ...] | None
) -> None:
    found = filters.first(save(tmp_path, **weights))
    assert (found if found is None else found.shape) == shape


def test_every_weight_is_a_pixel_and_zero_is_grey() -> None:
    weights = np.random.default_rng(0).normal(size=(10, 3, 3, 3)).astype(np.float32)
    weights[:, :, 1, 1] = 0
    found = filters.picture("m", weights)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.image.partition(",")[2]))))
    assert pixels.shape == (2 * 4 - 1, 8 * 4 - 1, 3) and (found.count, found.side) == (10, 3)
    for k, weight in enumerate(weights):
        top, left = k // 8 * 4, k % 8 * 4
        tile = pixels[top : top + 3, left : left + 3].astype(float)
        expected = 127.5 * (1 + weight.transpose(1, 2, 0) / np.abs(weight).max())
        assert np.abs(tile - expected).max() <= 0.51
        assert set(tile[1, 1]) == {128}
