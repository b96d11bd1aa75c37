"""Pointing: similarity, the cost of wrong colours, and convolutions over time, each against a slow computation."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modalities.video.shared.pointing import Temporal, copied, cost, similarity


def test_the_cost_is_a_double_loop_over_copied_colours() -> None:
    torch.manual_seed(0)
    target, reference = torch.randn(2, 5, 4), torch.randn(2, 9, 4)
    asked, known = torch.randint(0, 6, (2, 5)), torch.randint(0, 5, (2, 9))
    similar = similarity(target, reference, 0.7, False)
    each, there = cost(similar, known, asked)
    mixed = copied(similar, known, 6)
    for n in range(2):
        for j in range(5):
            share = [float(torch.exp(target[n, j] @ reference[n, i] / 0.7)) for i in range(9)]
            likely = [0.0] * 6
            for i in range(9):
                likely[int(known[n, i])] += share[i] / sum(share)
            assert mixed[n, j].tolist() == pytest.approx(likely, rel=1e-4, abs=1e-7)
            mine = likely[int(asked[n, j])]
            assert bool(there[n, j]) == (mine > 0)
            assert float(each[n, j]) == pytest.approx(-np.log(mine) if mine else 0.0, rel=1e-4, abs=1e-6)
    assert not there.all() and there.any()


def test_permuted_reference_colours_are_permuted_answers() -> None:
    torch.manual_seed(0)
    similar, known = torch.randn(3, 7, 20), torch.randint(0, 6, (3, 20))
    order = torch.randperm(6)
    first, second = copied(similar, known, 6), copied(similar, order[known], 6)
    torch.testing.assert_close(second[:, :, order], first)
    assert torch.equal(second.argmax(2), order[first.argmax(2)])
    asked = torch.randint(0, 6, (3, 7))
    torch.testing.assert_close(cost(similar, order[known], order[asked])[0], cost(similar, known, asked)[0])


def test_a_colour_that_no_reference_has_gives_no_gradient() -> None:
    similar = torch.randn(1, 2, 4, requires_grad=True)
    each, there = cost(similar, torch.tensor([[0, 0, 1, 1]]), torch.tensor([[5, 1]]))
    assert there.tolist() == [[False, True]]
    torch.autograd.backward(each.sum())
    assert similar.grad is not None and similar.grad.isfinite().all()
    assert not similar.grad[0, 0].any() and similar.grad[0, 1].any()


def test_cosines_do_not_depend_on_length_and_temperature_divides() -> None:
    torch.manual_seed(0)
    target, reference = torch.randn(1, 3, 4), torch.randn(1, 5, 4)
    cosine = similarity(3 * target, reference / 7, 0.1, True)
    slow = F.cosine_similarity(target[0, :, None], reference[0], dim=2) / 0.1
    torch.testing.assert_close(cosine[0], slow)
    torch.testing.assert_close(similarity(target, reference, 2.0, False), target @ reference.mT / 2)


def test_convolutions_over_time_are_those_in_three_dimensions() -> None:
    torch.manual_seed(0)
    net, x = Temporal(4), torch.randn(2, 3, 4, 5, 6)
    y = x.transpose(1, 2)
    down, across = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 6), indexing="ij")
    y = torch.cat([y, torch.stack([down, across])[None, :, None].expand(2, -1, 3, -1, -1)], 1)
    for k, layer in enumerate(net.layers):
        assert isinstance(layer, torch.nn.Conv2d)
        weight = layer.weight.view(4, 3, -1, 3, 3).transpose(1, 2)  # (out, in, time, height, width)
        y = F.conv3d(y.relu() if k else y, weight, layer.bias, padding=1)
    torch.testing.assert_close(net(x), y.transpose(1, 2), rtol=1e-4, atol=1e-5)
    assert len(net.layers) == 5
