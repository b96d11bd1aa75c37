"""How likely a causal model finds texts after others. N pairs, L tokens."""

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.base import Index
from modalities.common.device import device
from modalities.text.networks.decoder import Decoder

ROWS = 32  # pairs scored side by side, alike in length


@torch.no_grad()
def continued(
    encoder: Decoder, pairs: list[tuple[str, str]]
) -> tuple[NDArray[np.float64], Index, NDArray[np.bool_]]:
    """(N,) each: Σ log P of the second text's tokens after the first, how many they are, and whether all are likeliest.

    A first text that does not fit loses its beginning. The sum is made in float64, in evaluation mode.
    """
    own, training = encoder.vocabulary, encoder.training
    encoder.to(device()).eval()
    heads, h = own.encode([head for head, _ in pairs])
    tails, t = own.encode([tail for _, tail in pairs])
    sizes = np.diff(t)
    rows = []
    for k, size in enumerate(sizes):
        head = np.append(own.separator, heads[h[k] : h[k + 1]])
        rows.append(
            np.concatenate([head[-max(1, encoder.size.positions + 1 - size) :], tails[t[k] : t[k + 1]]])
        )
    sums, greedy = np.zeros(len(rows)), np.zeros(len(rows), bool)
    order = np.argsort([len(row) for row in rows], kind="stable")
    for part in np.array_split(order, max(1, -(-len(rows) // ROWS))):
        lengths = np.array([len(rows[k]) for k in part])
        x = np.full((len(part), lengths.max()), own.pad)
        x[np.arange(x.shape[1]) < lengths[:, None]] = np.concatenate([rows[k] for k in part])
        place = np.arange(1, x.shape[1])
        asked = (place >= (lengths - sizes[part])[:, None]) & (place < lengths[:, None])
        ids = torch.from_numpy(x).to(device())
        scores = encoder.logits(ids[:, :-1]).float().log_softmax(2)
        log_p = scores.gather(2, ids[:, 1:, None])[..., 0].double().cpu().numpy()
        sums[part] = np.where(asked, log_p, 0.0).sum(1)
        greedy[part] = ((scores.argmax(2) == ids[:, 1:]).cpu().numpy() | ~asked).all(1)
    encoder.train(training)
    return sums, sizes, greedy
