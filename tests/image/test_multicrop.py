"""Multi-crop: large and small views of the right pictures, one pass a size."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.base import Encoder
from modalities.image.corpus import Images
from modalities.image.shared import multicrop
from modalities.image.shared.multicrop import MultiCrop

PLAIN = {"jitter": [0.0] * 4, "jitter_share": 0.0, "gray": 0.0, "blur": 0.0, "solarise": 0.0, "flip": 0.5}
LARGE, SMALL = PLAIN | {"scale": [0.14, 1.0]}, PLAIN | {"scale": [0.05, 0.14]}


def greys() -> Images:
    """24 flat pictures, each of its own grey."""
    pixels = np.repeat(np.arange(10, 250, 10, dtype=np.uint8), 20 * 20 * 3).reshape(24, 20, 20, 3)
    ids = [str(k) for k in range(24)]
    return Images([pixels], ids, np.full(24, -1), np.full(24, "train"), [], np.arange(24))


class Brightness(Encoder):
    """Means of a picture and its side: enough to tell which picture a view is of, and how large."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(tuple(x.shape))
        return torch.stack([x.mean((1, 2, 3)), torch.full((len(x),), float(x.shape[-1]))], 1)


def crops(**changes: Any) -> MultiCrop:
    keys: dict[str, Any] = {"large": LARGE, "small": SMALL, "count": 3, "share": 0.5}
    return MultiCrop("swav", 16, **(keys | changes))


def test_all_views_are_of_their_pictures_in_one_pass_a_size() -> None:
    index = np.array([4, 0, 20, 9, 9])
    batch = crops().batch(greys(), index, np.random.default_rng(0))
    assert batch["views"].shape == (2, 5, 3, 16, 16) and batch["small"].shape == (5, 3, 3, 8, 8)
    encoder = Brightness()
    vectors = multicrop.encoded(encoder, batch)
    assert encoder.passes == [(10, 3, 16, 16), (15, 3, 8, 8)]
    expected = torch.from_numpy((index + 1) * 10 / 255).float().expand(5, 5)
    torch.testing.assert_close(vectors[:, :, 0], expected, atol=2e-3, rtol=0)
    assert vectors[:, 0, 1].tolist() == [16, 16, 8, 8, 8]


def test_without_small_views_there_is_one_pass() -> None:
    batch = crops(count=0).batch(greys(), np.arange(4), np.random.default_rng(0))
    assert set(batch) == {"views"}
    assert multicrop.encoded(Brightness(), batch).shape == (2, 4, 2)


def test_small_views_show_less() -> None:
    """Of a picture that brightens to the right, a crop shows a range as wide as itself."""
    ramp = np.tile(np.arange(0, 240, 12, dtype=np.uint8)[None, None, :, None], (8, 20, 1, 3))
    corpus = Images([ramp], list("abcdefgh"), np.full(8, -1), np.full(8, "train"), [], np.arange(8))
    batch = crops().batch(corpus, np.arange(8), np.random.default_rng(0))
    widths = [x.flatten(-3).max(-1).values - x.flatten(-3).min(-1).values for x in batch.values()]
    assert float(widths[1].max()) < 0.5 < float(widths[0].max())
    assert float(widths[1].mean()) < float(widths[0].mean()) / 1.5


def test_they_can_be_drawn() -> None:
    batch = crops().batch(greys(), np.arange(3), np.random.default_rng(0))
    rows = multicrop.rows(batch)
    assert list(rows) == ["view 1", "view 2", "small 1", "small 2", "small 3"]
    assert torch.equal(rows["small 2"][:, :, 4:12, 4:12], batch["small"][:, 1])
    assert (rows["small 2"][:, :, :4] == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": -1}, r"swav\.model\.crops\.count is -1; use a number"),
        (
            {"share": 0.25},
            r"crops\.share is 0\.25, which makes views of 4 pixels; use 0\.5 \(8 pixels\) to 1",
        ),
        ({"share": 1.5}, r"crops\.share is 1\.5, which makes views of 24 pixels"),
        ({"large": LARGE | {"flip": 2}}, r"views\.flip is 2; use a probability"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crops(**changes)
