"""Encoders: shapes, widths, norms, names, and that they can be rebuilt from what is written beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modalities
from modalities.image.corpus import Images
from modalities.image.encoders import Named, ResNet, encoder
from stages import store


@pytest.mark.parametrize(
    ("arch", "stem", "dim", "sides"),
    [
        ("resnet18", "3x3", 8 * 8, [32, 16, 8, 4]),
        ("resnet34", "3x3-pool", 8 * 8, [16, 8, 4, 2]),
        ("resnet50", "7x7", 8 * 8 * 4, [8, 4, 2, 1]),
    ],
)
def test_maps_have_the_papers_strides(arch: str, stem: Any, dim: int, sides: list[int]) -> None:
    net = encoder(arch=arch, width=8, stem=stem, norm="batch", side=32).eval()
    images = torch.rand(2, 3, 32, 32)
    maps = net.maps(images)
    assert [m.shape[-1] for m in maps] == sides
    assert net.dim == dim == maps[-1].shape[1]
    torch.testing.assert_close(net(images), maps[-1].mean((2, 3)))


def test_at_full_width_it_is_torchvisions_resnet() -> None:
    from torchvision.models import resnet18

    theirs = resnet18(weights=None).eval()
    ours = encoder(arch="resnet18", width=64, stem="7x7", norm="batch", side=64).eval()
    assert isinstance(ours, ResNet)
    ours.stem[0].load_state_dict(theirs.conv1.state_dict())
    ours.stem[1].load_state_dict(theirs.bn1.state_dict())
    for mine, layer in zip(
        ours.stages, (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), strict=True
    ):
        mine.load_state_dict(layer.state_dict())
    theirs.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(ours.normalised(images)))


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_norms(norm: Any) -> None:
    net = encoder(arch="resnet18", width=8, stem="3x3", norm=norm, side=16)
    batch_norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert bool(batch_norms) == (norm == "batch")
    assert torch.isfinite(net(torch.rand(2, 3, 16, 16))).all()


def test_like_changes_what_is_asked_and_draws_new_weights() -> None:
    net = encoder(arch="resnet18", width=16, stem="3x3", norm="batch", side=16)
    half = net.like(channels=1, width=8)
    assert half.dim == net.dim // 2 and half(torch.rand(2, 1, 16, 16)).shape == (2, half.dim)
    assert not torch.equal(next(net.like().parameters()), next(net.parameters()))


@pytest.mark.parametrize("arch", ["torchvision:mobilenet_v3_small", "timm:resnet10t"])
def test_named_networks_save_and_reload(arch: str, tmp_path: Path) -> None:
    if arch.startswith("timm"):
        pytest.importorskip("timm", reason="timm is an optional group: pip install -e .[timm]")
    net = encoder(arch=arch, width=8, stem="3x3", norm="batch", side=32).eval()
    assert isinstance(net, Named)
    images = torch.rand(2, 3, 32, 32)
    store.save_encoder(net, tmp_path, modality="image")
    torch.testing.assert_close(store.load_encoder(tmp_path)(images), net(images))
    assert net(images).shape == (2, net.dim)


def test_reading_resizes_to_the_encoders_side(toy_images: Images) -> None:
    net = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    found = net.read(toy_images, np.array([30, 2]))
    assert found.shape == (2, 3, 16, 16) and 0 <= float(found.min()) <= float(found.max()) <= 1
    same = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=20).read(
        toy_images, np.array([30])
    )
    assert torch.equal(same[0].permute(1, 2, 0) * 255, torch.from_numpy(toy_images.shards[1][6]).float())


def test_only_encoders_of_the_modality_are_rebuilt() -> None:
    with pytest.raises(
        ValueError, match='no image encoder class "Images"; have AmdimNet, Gray, ImageEncoder, Lightness'
    ):
        modalities.rebuild("image", {"class": "Images"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "resnet19"}, r"image\.encoder\.arch is resnet19"),
        ({"width": 12, "norm": "group"}, r"image\.encoder\.width is 12; use a positive multiple of 8"),
        ({"side": 4}, r"image\.encoder\.side is 4; use at least 8"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        usual: dict[str, Any] = {"arch": "resnet18", "width": 8, "stem": "3x3", "norm": "batch", "side": 16}
        encoder(**(usual | changes))
