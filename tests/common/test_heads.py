"""Heads: the layers that the papers list."""

import pytest
import torch
from torch import nn

from modalities.common import heads


def layers(head: nn.Sequential) -> list[str]:
    """Such as "Linear 3>4 bias": what a reader would write down."""
    found = []
    for layer in head:
        text = type(layer).__name__
        if isinstance(layer, nn.Linear):
            text += f" {layer.in_features}>{layer.out_features}" + (" bias" if layer.bias is not None else "")
        if isinstance(layer, nn.BatchNorm1d):
            text += " affine" if layer.affine else ""
        found.append(text)
    return found


def test_the_head_of_moco_v1() -> None:
    assert layers(heads.mlp(3, 2, norm=False, last="plain")) == ["Linear 3>2 bias"]


def test_a_width_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a head has layers of 3, 0, 2 numbers; use 1 or more"):
        heads.mlp(3, 0, 2, norm=False, last="plain")


def test_the_head_of_moco_v2() -> None:
    assert layers(heads.mlp(3, 4, 2, norm=False, last="plain")) == [
        "Linear 3>4 bias",
        "ReLU",
        "Linear 4>2 bias",
    ]


def test_the_head_of_simclr() -> None:
    found = layers(heads.mlp(3, 4, 2, norm=True, last="norm"))
    assert found == ["Linear 3>4", "BatchNorm1d affine", "ReLU", "Linear 4>2", "BatchNorm1d affine"]


def test_the_projector_of_byol() -> None:
    found = layers(heads.mlp(3, 4, 2, norm=True, last="plain"))
    assert found == ["Linear 3>4", "BatchNorm1d affine", "ReLU", "Linear 4>2 bias"]


def test_the_projector_of_moco_v3_ends_white() -> None:
    head = heads.mlp(3, 4, 4, 2, norm=True, last="white")
    normed = ["BatchNorm1d affine", "ReLU"]
    assert layers(head) == ["Linear 3>4", *normed, "Linear 4>4", *normed, "Linear 4>2", "BatchNorm1d"]
    out = head(torch.randn(64, 3))
    torch.testing.assert_close(out.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(0, unbiased=False), torch.ones(2), atol=1e-2, rtol=0)
