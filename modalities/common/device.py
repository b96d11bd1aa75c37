"""Where arithmetic that is not training runs: probes, clustering, whatever starts from arrays."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def threads(most: int) -> Iterator[None]:
    """At most so many CPU threads inside the block.

    Thousands of small steps are no faster on two threads, and a hundred times slower where another process keeps a
    core busy: each step then waits for a thread that is not running.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(most, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
