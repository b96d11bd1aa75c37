"""Text that a decoder writes token by token, by chance or greedily, and what is told of it.

Holtzman et al. 2020 (nucleus, arXiv:1904.09751), Li et al. 2016 (distinct-n, arXiv:1510.03055).
N texts, P tokens given, V entries.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index

Step = Callable[
    [Tensor, Any], tuple[Tensor, Any]
]  # new tokens (N, L) and a cache -> scores (N, V) and the cache


def filtered(scores: Tensor, *, top_k: int, nucleus: float) -> Tensor:
    """Scores (N, V), -inf but for the `top_k` best (0: all), and of them the fewest that hold `nucleus` of the mass."""
    if top_k:
        least = scores.topk(min(top_k, scores.shape[1]), 1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if nucleus < 1:
        best, order = scores.sort(dim=1, descending=True, stable=True)
        share = best.softmax(1)
        # One is kept where those before it do not yet hold the mass: so the first always is.
        out = share.cumsum(1) - share >= nucleus
        scores = scores.masked_fill(torch.zeros_like(out).scatter(1, order, out), -torch.inf)
    return scores


@torch.no_grad()
def sampled(
    step: Step, prompt: Tensor, *, count: int, positions: int, barred: Tensor, temperature: float, top_k: int,
    nucleus: float, generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """(N, P + count): prompts (N, P) and what is written after them. Temperature 0 takes the best token each time.

    A network of `positions` places goes on from the later half of them where they are full. `barred` entries are
    not written.
    """
    text, cache, fresh = prompt, None, prompt[:, -positions:]
    held = fresh.shape[1]
    for _ in range(count):
        scores, cache = step(fresh, cache)
        scores = scores.float()
        scores[:, barred.to(scores.device)] = -torch.inf
        if temperature:
            shares = filtered(scores / temperature, top_k=top_k, nucleus=nucleus).softmax(1)
            token = torch.multinomial(shares.cpu(), 1, generator=generator).to(text)
        else:
            token = scores.argmax(1, keepdim=True)
        text = torch.cat([text, token], 1)
        fresh, held = token, held + 1
        if held > positions:
            fresh, cache = text[:, -max(1, positions // 2) :], None
            held = fresh.shape[1]
    return text


def distinct(texts: list[Index], n: int) -> float:
    """Different runs of n tokens as a share of all of them, in all texts together."""
    runs = np.concatenate([_runs(text, n) for text in texts])
    return len(np.unique(runs)) / max(1, len(runs))


def repeated(texts: list[Index], n: int) -> float:
    """The share of runs of n tokens that stood in the same text before."""
    runs = [_runs(text, n) for text in texts]
    return 1 - sum(len(np.unique(each)) for each in runs) / max(1, sum(map(len, runs)))


def copied(texts: list[Index], source: Index, n: int) -> float:
    """The share of runs of n tokens that occur in `source`."""
    runs = np.concatenate([_runs(text, n) for text in texts])
    return float(np.isin(runs, _runs(source, n)).mean()) if len(runs) else 0.0


def _runs(text: Index, n: int) -> NDArray[np.uint64]:
    """A number for each run of n tokens; different runs have the same one by a chance of about 2^-64."""
    out = np.zeros(max(0, len(text) - n + 1), np.uint64)
    for k in range(n):
        out = out * np.uint64(0x9E3779B97F4A7C15) + text[k : k + len(out)].astype(np.uint64) + np.uint64(1)
        out ^= out >> np.uint64(29)
    return out
