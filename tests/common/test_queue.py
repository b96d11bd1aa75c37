"""The queue: first in, first out, whatever the sizes."""

import pytest
import torch

from modalities.common.queue import Queue


@pytest.mark.parametrize("size", [4, 7, 12])
@pytest.mark.parametrize("pushes", [[4, 4, 4], [1, 3, 2, 4, 4], [12], [5, 13]])
def test_it_holds_the_last_rows_in_order(size: int, pushes: list[int]) -> None:
    queue, pushed = Queue(size, 2), torch.arange(2.0 * sum(pushes)).view(-1, 2)
    start = queue.read()
    for rows in torch.split(pushed, pushes):
        queue.push(rows)
    # The oldest row lies at the pointer; rows that were never pushed are older than all.
    last = torch.cat([start, pushed])[-size:] if len(pushed) < size else pushed[-size:]
    assert torch.equal(queue.vectors.roll(-int(queue.pointer), 0), last)
    assert int(queue.filled) == min(size, len(pushed))
    assert bool(queue.full()) == (len(pushed) >= size)


def test_it_starts_with_unit_vectors_in_all_directions() -> None:
    torch.manual_seed(0)
    vectors = Queue(500, 8).vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(500))
    assert float(vectors.mean(0).norm()) < 0.1


def test_nothing_is_pushed_outside_training() -> None:
    queue = Queue(4, 2)
    before = {name: value.clone() for name, value in queue.state_dict().items()}
    queue.eval()
    queue.push(torch.ones(3, 2))
    assert all(torch.equal(value, before[name]) for name, value in queue.state_dict().items())


def test_a_copy_that_was_read_survives_a_push_and_its_backward_pass() -> None:
    queue, query = Queue(4, 2), torch.ones(1, 2, requires_grad=True)
    read = queue.read()
    loss = (query @ read.T).sum()
    expected = read.sum(0, keepdim=True).clone()
    queue.push(torch.zeros(4, 2))
    torch.autograd.backward(loss)
    assert query.grad is not None and torch.equal(query.grad, expected)
