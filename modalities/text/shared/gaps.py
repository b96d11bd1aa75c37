"""Which sentences of a passage are hidden, and what is read and written then. PEGASUS, arXiv:1912.08777.

N passages, U sentences at most in one.
"""

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index
from modalities.text.shared.shuffling import Mask

# English words that carry no topic; with `stop` they do not count in the scores, as in the released scorer.
STOP_WORDS = (
    " a about above after again all also am an and any are as at be because been before being below"
    " between both but by can could did do does doing down during each few for from further had has have"
    " having he her here hers him his how i if in into is it its itself just me more most my no nor not"
    " now of off on once only or other our ours out over own s same she should so some such t than that"
    " the their theirs them then there these they this those through to too under until up very was we"
    " were what when where which while who whom why will with would you your yours"
)
STOP = frozenset(STOP_WORDS.split())


def chosen(
    scores: NDArray[np.floating], there: Mask, lengths: Index, ratio: float | NDArray[np.floating], room: int
) -> Mask:
    """(N, U): the best floor(sentences * ratio) of each passage, at least one, as many as have `room` tokens together.

    Of equals the later one is taken. Sentences that are longer than the room alone are never chosen.
    """
    fits = there & (lengths <= room)
    order = np.lexsort(
        (-np.broadcast_to(np.arange(there.shape[1]), there.shape), -np.where(fits, scores, -np.inf))
    )
    # `lexsort` sorts along the last axis; what does not fit stands last.
    count = there.sum(1, keepdims=True)
    many = np.clip(np.floor(count * np.reshape(ratio, (-1, 1))), 1, count)
    sorted_lengths = np.take_along_axis(np.where(fits, lengths, room + 1), order, 1)
    keep = (np.arange(there.shape[1]) < many) & (sorted_lengths.cumsum(1) <= room)
    out = np.zeros_like(there)
    np.put_along_axis(out, order, keep, 1)
    return out
