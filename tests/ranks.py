"""Two gloo processes on this machine, for tests that hold them to one process with the joined batch."""

import multiprocessing as mp
import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist


def _work(rank: int, port: int, folder: Path, work: Callable[[int, Path], None]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    work(rank, folder)
    dist.destroy_process_group()


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def two_ranks(work: Callable[[int, Path], None], folder: Path, seconds: float = 120) -> None:
    """Run `work(rank, folder)`, a function of a module, as ranks 0 and 1; what it finds it writes into the folder."""
    context, port = mp.get_context("spawn"), free_port()
    workers = [context.Process(target=_work, args=(rank, port, folder, work)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds)
        assert worker.exitcode == 0
