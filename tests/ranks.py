"""Two gloo processes on this machine, for tests that hold them to one process with the joined batch."""

import multiprocessing as mp
import os
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


def two_ranks(work: Callable[[int, Path], None], folder: Path, port: int) -> None:
    """Run `work(rank, folder)`, a function of a module, as ranks 0 and 1; what it finds it writes into the folder."""
    context = mp.get_context("spawn")
    workers = [context.Process(target=_work, args=(rank, port, folder, work)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
