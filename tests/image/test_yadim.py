"""YADIM: AMDIM's loss on the last map of any encoder."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modalities.base import Batch
from modalities.common.info_nce import batch_info_nce
from modalities.image.corpus import Images
from modalities.image.encoders import AmdimNet, ImageEncoder, Named, encoder
from modalities.image.pretexts.yadim import YADIM
from tests.conftest import params, pictures

TOY = {"model": {"dim": 16}}


def made(corpus: Images, trunk: ImageEncoder, folder: Path, **changes: Any) -> YADIM:
    torch.manual_seed(0)
    return YADIM(
        trunk, corpus, folder, **(params()["image"]["pretexts"]["yadim"]["model"] | TOY["model"] | changes)
    )


def drawn(pretext: YADIM, count: int = 6) -> Batch:
    return pretext.batch(np.arange(count), np.random.default_rng(0))


class Flat(ImageEncoder):
    """The mean colour of a picture: a map of 1x1."""

    dim = 3

    def __init__(self) -> None:
        super().__init__(side=16, channels=3)

    def maps(self, x: Tensor) -> list[Tensor]:
        return [x.mean((2, 3), keepdim=True)]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[0].flatten(1)


def test_with_one_place_and_no_clip_it_is_one_sided_info_nce(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, Flat(), tmp_path, dim=3, pooled=False, clip=0.0, penalty=0.0)
    pretext.head = nn.Identity()  # type: ignore[assignment]
    batch = drawn(pretext)
    first, second = batch["views"].mean((3, 4))
    ways = [batch_info_nce(a, b, math.sqrt(3)) for a, b in ((first, second), (second, first))]
    found = pretext(batch)
    torch.testing.assert_close(found["loss"], (ways[0][0] + ways[1][0]) / 2)
    torch.testing.assert_close(found["accuracy"], (ways[0][1] + ways[1][1]) / 2)


def trunks() -> list[ImageEncoder]:
    torch.manual_seed(0)
    return [
        encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16),
        AmdimNet(side=16, width=8, dim=16, depth=1),
    ]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("pooled", [True, False])
def test_the_loss_equals_a_slow_loop_with_any_encoder(
    which: int, pooled: bool, toy_images: Images, tmp_path: Path
) -> None:
    pretext = made(toy_images, trunks()[which], tmp_path, pooled=pooled).eval()
    batch = drawn(pretext, 4)
    local = [pretext.head(pretext.encoder.maps(v)[-1]).flatten(2).detach().double() for v in batch["views"]]
    count, dim, places = local[0].shape
    losses, squares = [], []
    for a, b in ((0, 1), (1, 0)):
        sources = {"place": [local[a][n, :, batch["place"][n, a]] for n in range(count)]}
        if pooled:
            sources["mean"] = [local[a][n].mean(1) for n in range(count)]
        for source in sources.values():
            for i in range(count):
                raw = [
                    [float(source[i] @ local[b][j, :, p]) / math.sqrt(dim) for p in range(places)]
                    for j in range(count)
                ]
                squares += [s * s for row in raw for s in row]
                bent = [[20 * math.tanh(s / 20) for s in row] for row in raw]
                others = sum(math.exp(s) for j in range(count) if j != i for s in bent[j])
                losses += [-math.log(math.exp(s) / (math.exp(s) + others)) for s in bent[i]]
    tasks = 2 if pooled else 1
    expected = tasks * (np.mean(losses) + 0.05 * np.mean(squares))
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_encoder_is_the_projects_own_unchanged(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in tiny_encoder.state_dict().items()}
    pretext = made(toy_images, tiny_encoder, tmp_path)
    assert pretext.encoder is tiny_encoder and (pretext.rows, pretext.columns) == (2, 2)
    assert all(torch.equal(value, before[name]) for name, value in tiny_encoder.state_dict().items())
    assert drawn(pretext)["place"].max() < 4


def test_half_of_the_views_keep_one_channel_in_each_of_sixteen_patches(
    tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    pretext = made(pictures(4, 20), tiny_encoder, tmp_path, drop=0.5)
    images = torch.rand(600, 3, 16, 16) + 2
    found = pretext.dropped(images, np.random.default_rng(0))
    gone = found == tiny_encoder.mean.view(1, 3, 1, 1)
    assert torch.equal(found[~gone], images[~gone])
    blocks = gone.view(600, 3, 4, 4, 4, 4)  # a row of patches, a line in it, a column, a place in it
    assert torch.equal(blocks.all(5).all(3), blocks.any(5).any(3))
    count = blocks[:, :, :, 0, :, 0].sum(1)  # (M, 4, 4) channels that are gone
    whole = (count == 0).flatten(1).all(1)
    assert ((count == 2).flatten(1).all(1) | whole).all()
    assert abs(float(whole.float().mean()) - 0.5) < 0.07
    kept = (~blocks[~whole][:, :, :, 0, :, 0]).long().argmax(1)
    assert abs((kept[:, 0, 0] == kept[:, 0, 1]).float().mean() - 1 / 3) < 0.1


def test_none_are_dropped_where_asked(tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    images = torch.rand(20, 3, 18, 18)
    pretext = made(pictures(4, 20), tiny_encoder, tmp_path, drop=0.0)
    assert torch.equal(pretext.dropped(images, np.random.default_rng(0)), images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 0}, r"yadim\.model\.dim is 0"),
        ({"drop": 1.5}, r"yadim\.model\.drop is 1\.5; use a probability"),
        ({"clip": -1.0}, r"yadim\.model\.clip is -1\.0"),
        ({"penalty": -0.1}, r"yadim\.model\.penalty is -0\.1"),
        ({"aspect": [0.0, 1.0]}, r"yadim\.model\.aspect is \[0\.0, 1\.0\]"),
        ({"shifted": -0.1}, r"yadim\.model\.shifted is -0\.1"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tiny_encoder, tmp_path, **changes)


def test_networks_without_maps_are_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"yadim compares places of maps, but image\.encoder\.arch has none"):
        made(toy_images, Named(arch="torchvision:mobilenet_v3_small", side=32), tmp_path)
