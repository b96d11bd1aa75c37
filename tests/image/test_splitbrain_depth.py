"""Split-brain of colour and depth: cropped together, the costs of the paper, and learnt."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.image.networks.lab import to_lab
from tests.image.test_depth import with_depth
from tests.image.test_splitbrain import deep, made, overfitted


def test_depth_is_cropped_and_flipped_with_its_picture(tmp_path: Path) -> None:
    corpus = with_depth(tmp_path / "corpus", 16)
    pretext = made(tmp_path / "built", corpus, pair="depth")
    pixels = corpus.pixels(pretext.corpus.rows)
    pretext.beside = (
        replace(pretext.beside[0], shards=[pixels]),
        pretext.beside[1],
    )  # as if HHA were the picture
    batch = pretext.batch(np.arange(8), np.random.default_rng(3))
    assert torch.equal(batch["hha"], batch["image"])
    assert not torch.equal(batch["hha"], pretext.batch(np.arange(8), np.random.default_rng(4))["image"])


def test_depth_costs_are_those_of_the_paper_where_depth_is_known(tmp_path: Path) -> None:
    pretext = deep(tmp_path)
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    pair, cells = pretext.pair, len(pretext.pair.bins)
    first, second = torch.randn(6, 3, 4, 4), torch.randn(6, cells + 1, 4, 4)
    found = pair(first, second, batch)
    lab, hha = F.avg_pool2d(to_lab(batch["image"]), 4), F.avg_pool2d((batch["hha"] * 255 - 127.5) / 127.5, 4)
    above = below = 0.0
    for n in range(6):
        for h in range(4):
            for w in range(4):
                if batch["known"][n, 0, 4 * h : 4 * h + 4, 4 * w : 4 * w + 4].mean() > 0.99:
                    above += float((first[n, :, h, w] - hha[n, :, h, w]).square().sum())
                    below += 1
    assert 0 < below < 6 * 16  # the missing corner is left out
    assert float(found["hha_loss"]) == pytest.approx(above / below, rel=1e-4)
    light = pair.std[0] * second[:, -1] + pair.mean[0]
    far = (light - lab[:, 0]).square().mean()
    torch.testing.assert_close(found["lightness_loss"], far)
    torch.testing.assert_close(found["loss"], found["hha_loss"] + found["ab_loss"] + far / 200)
    changed = batch | {"hha": torch.where(batch["known"] < 0.5, 0.9, batch["hha"])}
    assert torch.equal(pair(first, second, changed)["hha_loss"], found["hha_loss"])


def test_depth_learns_and_its_task_can_be_drawn(tmp_path: Path) -> None:
    pretext = deep(tmp_path)
    before = float(pretext(pretext.batch(np.arange(12), np.random.default_rng(0)))["loss"].detach())
    pretext, batch = overfitted(pretext)
    found = pretext(batch)
    assert found["loss"] < before and set(pretext.chance()) == set(found) - {"loss"}
    reached = [p.grad is not None and bool(p.grad.any()) for p in pretext.encoder.parameters()]
    assert sum(reached) > len(reached) // 2
    pretext.preview(tmp_path / "preview.png", np.random.default_rng(0))
    assert (tmp_path / "preview.png").stat().st_size > 1000
