"""SimCLR: the loss is the paper's, and its views are of the same picture."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.common.info_nce import nt_xent
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.pretexts.simclr import SimCLR
from tests.conftest import make, params


def slow(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equation 1 of the paper, with loops."""
    z = np.concatenate([first, second]).astype(np.float64)
    n, loss = len(first), 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        below = sum(math.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i)
        loss -= math.log(math.exp(z[i] @ z[j] / temperature) / below)
    return loss / (2 * n)


def units(n: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_equals_the_papers_double_loop(temperature: float) -> None:
    first, second = units(7, 5, 0), units(7, 5, 1)
    loss, _ = nt_xent(first, second, temperature)
    assert float(loss) == pytest.approx(slow(first.numpy(), second.numpy(), temperature), rel=1e-5)


def test_the_loss_is_cross_entropy_of_the_whole_matrix_and_blind_to_order() -> None:
    first, second = units(6, 8, 2), units(6, 8, 3)
    z = torch.cat([first, second])
    logits = (z @ z.T / 0.2).masked_fill(torch.eye(12, dtype=torch.bool), -torch.inf)
    target = torch.arange(12).roll(6)
    loss, _ = nt_xent(first, second, 0.2)
    assert torch.allclose(loss, F.cross_entropy(logits, target))
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.allclose(loss, nt_xent(first[order], second[order], 0.2)[0])


def test_twins_that_agree_among_orthogonal_others_cost_what_the_formula_says() -> None:
    n, temperature = 6, 0.5
    loss, accuracy = nt_xent(torch.eye(n), torch.eye(n), temperature)
    assert float(loss) == pytest.approx(math.log(1 + (2 * n - 2) * math.exp(-1 / temperature)), rel=1e-6)
    assert accuracy == 1


def test_both_views_are_of_the_same_picture(tiny_encoder: ImageEncoder, tmp_path: Path) -> None:
    pixels = np.repeat(np.arange(10, 250, 10, dtype=np.uint8), 20 * 20 * 3).reshape(
        24, 20, 20, 3
    )  # flat greys
    count = len(pixels)
    corpus = Images(
        [pixels],
        [str(k) for k in range(count)],
        np.full(count, -1),
        np.full(count, "train"),
        [],
        np.arange(count),
    )
    plain = {"scale": [0.2, 1.0], "jitter": [0.0] * 4, "jitter_share": 0.0, "gray": 0.0, "blur": 0.5}
    recipe = plain | {"solarise": 0.0, "flip": 0.5}
    pretext = SimCLR(tiny_encoder, corpus, tmp_path, temperature=0.5, dim=8, recipe=recipe)
    index = np.array([4, 0, 20, 9])
    views = pretext.batch(index, np.random.default_rng(0))["views"]
    assert views.shape == (2, 4, 3, 16, 16)
    expected = torch.from_numpy(pixels[index, 0, 0, 0] / 255).float()
    torch.testing.assert_close(views.mean((2, 3, 4)), expected.expand(2, 4), atol=2e-3, rtol=0)


def test_a_temperature_of_zero_is_refused(
    toy_images: Images, tiny_encoder: ImageEncoder, tmp_path: Path
) -> None:
    model = params()["image"]["pretexts"]["simclr"]["model"] | {"temperature": 0.0}
    with pytest.raises(ValueError, match=r"simclr\.model\.temperature is 0\.0; use a positive number"):
        SimCLR(tiny_encoder, toy_images, tmp_path, **model)


def test_the_head_is_thrown_away(toy_images: Images, tmp_path: Path) -> None:
    pretext = make("simclr", toy_images.only("train"), tmp_path)
    assert not any("head" in name for name in pretext.encoder.state_dict())
