"""InfoNCE: the papers' formulas, with loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from modalities.common.info_nce import batch_info_nce, info_nce, nearest, nt_xent


def units(n: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_explicit_negatives_equal_mocos_equation(temperature: float) -> None:
    query, key, negatives = units(6, 5, 0), units(6, 5, 1), units(9, 5, 2)
    loss, accuracy = info_nce(query, key, negatives, temperature)
    total, right = 0.0, 0
    for q, k in zip(query.double(), key.double(), strict=True):
        positive = math.exp(float(q @ k) / temperature)
        others = [math.exp(float(q @ n) / temperature) for n in negatives.double()]
        total -= math.log(positive / (positive + sum(others)))
        right += positive > max(others)
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)
    assert float(accuracy) == pytest.approx(right / 6)


def test_a_batch_of_keys_is_each_querys_own_list_of_negatives() -> None:
    query, key = units(6, 5, 0), units(6, 5, 1)
    loss, accuracy = batch_info_nce(query, key, 0.2)
    each = [info_nce(query[i : i + 1], key[i : i + 1], key[torch.arange(6) != i], 0.2) for i in range(6)]
    torch.testing.assert_close(loss, torch.stack([one for one, _ in each]).mean())
    torch.testing.assert_close(accuracy, torch.stack([share for _, share in each]).mean())
    torch.testing.assert_close(nearest(query, key), accuracy)


def test_vectors_that_are_all_the_same_are_not_told_apart() -> None:
    same = torch.ones(8, 4) / 2
    loss, accuracy = info_nce(same, same, same, 0.2)
    assert float(loss) == pytest.approx(math.log(9)) and accuracy == 0
    assert float(nearest(same, same)) == pytest.approx(1 / 8)
    assert float(batch_info_nce(same, same, 0.2)[1]) == pytest.approx(1 / 8)


def test_logits_stay_in_float32_under_autocast() -> None:
    query, key, negatives = units(6, 64, 0), units(6, 64, 1), units(2000, 64, 2)
    plain = info_nce(query, key, negatives, 0.07)[0], batch_info_nce(query, key, 0.07)[0]
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce(query, key, negatives, 0.07)[0], batch_info_nce(query, key, 0.07)[0]
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


def test_nt_xent_is_summed_in_full_precision_under_autocast() -> None:
    first, second = units(32, 16, 0), units(32, 16, 1)
    plain, _ = nt_xent(first, second, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = nt_xent(first, second, 0.07)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain, rtol=0, atol=0)
