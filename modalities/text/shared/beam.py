"""The likeliest text that a decoder could write, as beam search finds it.

Scores are sums of log-probabilities over length ** `penalty` (Wu et al. 2016, arXiv:1609.08144, in the simpler form of
PEGASUS and BART). N texts, B beams, V entries, T tokens written.
"""

import torch
from torch import Tensor

from modalities.text.encoders import EncoderDecoder


@torch.no_grad()
def search(
    encoder: EncoderDecoder,
    states: Tensor,
    real: Tensor,
    *,
    beams: int,
    most: int,
    penalty: float,
    repeat: int,
) -> list[list[int]]:
    """Token ids of each text without its end, at most `most` tokens with it. `states` (N, L, D), `real` (N, L).

    No run of `repeat` tokens occurs twice in a text; 0 allows any.
    """
    n, end, device = len(states), encoder.vocabulary.end, states.device
    states, real = states.repeat_interleave(beams, 0), real.repeat_interleave(beams, 0)  # (N * B, ...)
    text = torch.full((n * beams, 1), encoder.begin, device=device)
    total = torch.full((n, beams), -torch.inf, device=device)
    total[:, 0] = 0.0  # all beams begin alike: one is enough
    done: list[list[tuple[float, list[int]]]] = [[] for _ in range(n)]
    cache = None
    for length in range(1, most + 1):
        scores, cache = encoder.step(text[:, -1:], cache, states, real)
        scores = scores.float().log_softmax(1)
        scores[:, _unwritten(encoder)] = -torch.inf
        if length == most:
            only = torch.full_like(scores, -torch.inf)
            only[:, end] = scores[:, end]
            scores = only
        elif repeat:
            _bar(scores, text[:, 1:], repeat)
        width = scores.shape[1]
        best, where = (total[..., None] + scores.view(n, beams, width)).flatten(1).topk(2 * beams, 1)
        source, token = where // width, where % width
        kept, row, total = [], [], torch.full_like(total, -torch.inf)
        for k in range(n):
            living = 0
            for value, beam, entry in zip(
                best[k].tolist(), source[k].tolist(), token[k].tolist(), strict=True
            ):
                if value == -torch.inf:
                    break
                if entry == end:
                    done[k].append((value / length**penalty, text[k * beams + beam, 1:].tolist()))
                elif living < beams:
                    total[k, living] = value
                    kept.append(entry)
                    row.append(k * beams + beam)
                    living += 1
            kept += [end] * (beams - living)  # beams that are no more: their total is -inf
            row += [k * beams] * (beams - living)
        if all(_settled(done[k], total[k], length, penalty, beams, most) for k in range(n)):
            break
        order = torch.tensor(row, device=device)
        text = torch.cat([text[order], torch.tensor(kept, device=device)[:, None]], 1)
        cache.reorder_cache(order)
    return [max(found, key=lambda each: each[0])[1] if found else [] for found in done]


def _unwritten(encoder: EncoderDecoder) -> Tensor:
    """Special tokens but for the end: they are read, never written."""
    special = torch.arange(encoder.vocabulary.specials)
    return special[special != encoder.vocabulary.end]


def _bar(scores: Tensor, text: Tensor, repeat: int) -> None:
    """-inf for tokens that would make a run of `repeat` tokens stand in a text again."""
    length = text.shape[1]
    if length < repeat:
        return
    runs = text.unfold(1, repeat, 1)  # (rows, T - repeat + 1, repeat)
    same = (runs[:, :, :-1] == text[:, None, length - repeat + 1 :]).all(2)
    row, place = same.nonzero(as_tuple=True)
    scores[row, runs[row, place, -1]] = -torch.inf


def _settled(
    done: list[tuple[float, list[int]]], total: Tensor, length: int, penalty: float, beams: int, most: int
) -> bool:
    """Whether no living beam can become better than the best that has ended: log-probabilities only fall."""
    if not done:
        return bool((total == -torch.inf).all())
    longest = most if penalty > 0 else length + 1
    return bool(float(total.max()) / longest**penalty <= max(value for value, _ in done))
