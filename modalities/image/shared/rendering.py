"""Hand a batch to the compiled kernel: pictures of any shapes, out of memory-mapped bytes, on several threads."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index
from modalities.image.shared import kernel


class Part(NamedTuple):
    """What is read out of one shard: n pictures, each (H, W, 3) bytes in a row."""

    stored: NDArray[np.uint8]  # (bytes,), all of the shard
    starts: Index  # (n,), the first byte of each picture
    shapes: Index  # (n, 2), height and width
    places: Index  # (n,), which rows of parameters and of the result they are


def on_cpu(parts: Iterable[Part], parameters: Sequence[NDArray[Any]], side: int) -> Tensor:
    """(M, 3, S, S) in [0, 1], by the M rows of each field of `augment.Draws`, on as many threads as torch has.

    The kernel does not look where it reads: boxes are checked before.
    """
    # numpy asks for huge pages, torch does not: at 224 px first touching the small ones costs as much as the kernel.
    count = len(parameters[0])
    out = np.empty((count, 3, side, side), np.float32)
    threads = torch.get_num_threads()
    portion = max(8, count // (4 * threads))  # several a thread, since crops differ in size
    contiguous = [np.ascontiguousarray(array) for array in parameters]
    work: list[tuple[NDArray[Any], ...]] = []
    for part in parts:
        stored = part.stored.view()
        stored.flags.writeable = False  # one signature, hence one compilation, for files and memory
        for start in range(0, len(part.starts), portion):
            work.append((stored, *(array[start : start + portion] for array in part[1:]), *contiguous, out))
    # Threads of this call alone: they survive no fork, and a new one costs less than a single 64-pixel view.
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(kernel.render, *each) for each in work]:
            done.result()
    return torch.from_numpy(out)
