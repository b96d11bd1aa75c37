"""Batches of a run in order: read inline, or ahead of training in one thread."""

import queue
import threading
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed


def order(seed: int, k: int, samples: int, batch: int) -> Index:
    """The samples of step k: a fresh permutation every epoch, its remainder dropped."""
    epoch, place = divmod(k, samples // batch)
    return shuffled(seed, epoch, samples)[place * batch : (place + 1) * batch].copy()


@lru_cache(maxsize=2)
def shuffled(seed: int, epoch: int, samples: int) -> Index:
    """Every sample once. Kept, or each step of a large corpus would pay for a whole epoch."""
    return np.random.default_rng([seed, 0, epoch]).permutation(samples)


def one(pretext: Pretext, seed: int, k: int, batch: int) -> Batch:
    """This rank's part of step k, on the CPU."""
    rank, mine = distributed.rank(), batch // distributed.world()
    index = order(seed, k, pretext.samples(), batch)[rank * mine : (rank + 1) * mine]
    return pretext.batch(index, np.random.default_rng([seed, 1, k, rank]))


def batches(
    pretext: Pretext, seed: int, start: int, stop: int, batch: int, read_ahead: int, where: torch.device
) -> Iterator[Batch]:
    """Steps start .. stop - 1 on the device, at most `read_ahead` of them made before they are asked for.

    A method whose epochs change what `batch` reads must be read inline: there a batch is made after `before_epoch`.
    """
    made = (one(pretext, seed, k, batch) for k in range(start, stop))
    for ready in ahead(made, read_ahead) if read_ahead else made:
        if where.type == "cuda":
            yield {
                name: x.pin_memory().to(where, non_blocking=True) if x.is_cpu else x
                for name, x in ready.items()
            }
        else:
            yield ready


def ahead(source: Iterator[Batch], depth: int) -> Iterator[Batch]:
    """The same items, made in another thread; what it raises is raised here."""
    waiting: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in source:
                put(item)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
