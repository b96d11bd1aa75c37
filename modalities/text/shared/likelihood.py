"""How likely a causal model finds texts after others. N pairs, n of one first text, T tokens of the longest second."""

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Index
from modalities.common.device import device
from modalities.text.networks.decoder import Decoder


@torch.no_grad()
def continued(
    encoder: Decoder, pairs: list[tuple[str, str]]
) -> tuple[NDArray[np.float64], Index, NDArray[np.bool_]]:
    """(N,) each: Σ log P of the second text's tokens after the first, how many they are, and whether all are likeliest.

    Each first text is read once, for all that may follow it; one that does not fit loses its beginning. The sum is made
    in float64, in evaluation mode.
    """
    own, training = encoder.vocabulary, encoder.training
    encoder.to(device()).eval()
    after = defaultdict(list)
    for k, (head, _) in enumerate(pairs):
        after[head].append(k)
    heads, h = own.encode(list(after))
    tails, t = own.encode([tail for _, tail in pairs])
    sizes = np.diff(t)
    sums, greedy = np.zeros(len(pairs)), np.zeros(len(pairs), bool)
    for begin, end, rows in zip(h, h[1:], after.values(), strict=False):
        width = sizes[rows].max()
        first = np.append(own.separator, heads[begin:end])[-max(1, encoder.size.positions + 1 - width) :]
        read, asked = np.full((len(rows), width), own.pad), np.arange(width) < sizes[rows][:, None]
        read[asked] = np.concatenate([tails[t[k] : t[k + 1]] for k in rows])
        scores = _scores(encoder, torch.from_numpy(first), torch.from_numpy(read))
        log_p = scores.log_softmax(2).gather(2, torch.from_numpy(read)[..., None])[..., 0].double().numpy()
        sums[rows] = np.where(asked, log_p, 0.0).sum(1)
        greedy[rows] = ((scores.argmax(2).numpy() == read) | ~asked).all(1)
    encoder.train(training)
    return sums, sizes, greedy


def _scores(encoder: Decoder, head: Tensor, tails: Tensor) -> Tensor:
    """(n, T, V): scores of each place of (n, T) after one head, (L,), and what stands before it."""
    where = device()
    states, cache = encoder.extend(head[None].to(where), None)
    states = states[:, -1:].expand(len(tails), 1, -1)
    if tails.shape[1] > 1:
        cache.batch_repeat_interleave(len(tails))
        states = torch.cat([states, encoder.extend(tails[:, :-1].to(where), cache)[0]], 1)
    return encoder.scores(states).float().cpu()
