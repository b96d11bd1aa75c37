"""Five frames in order, a < b < c < d < e, from where a video moves: what shuffle and learn asks about.

Misra, Zitnick and Hebert, ECCV 2016, arXiv:1603.08561. Frames (b, c, d) are in order; (b, a, d) and (b, e, d) are not.
F frames, n tuples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.video.mining.motion import Frames, Shots, shrunk

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

SIDE = 32  # pixels of the short side by which frames are compared
ROUNDS = 8  # of drawing before a video is left with fewer tuples than asked for
PAIRS = 256  # of frames by which it is known how different frames of a video are


@dataclass(frozen=True)
class Rule:
    """What a tuple must satisfy, times in frames. The names are those of `frame_order.build`."""

    span: int  # most frames from b to d, and from a to b, and from d to e
    gap: int  # least frames from a to b and from d to e
    similar: float  # share of a video's pairs of frames that are too alike to be told apart

    @classmethod
    def of(cls, fps: float, *, span_max: float, gap_min: float, similar: float) -> "Rule":
        """From seconds; rounded inwards, so that every gap and span holds in seconds too."""
        return cls(int(span_max * fps + 1e-6), max(1, int(np.ceil(gap_min * fps - 1e-6))), similar)


def mine(
    frames: Frames, motion: Floats, shots: Shots, rule: Rule, count: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """At most `count` tuples (n, 5) of one video and the motion summed from b to d, (n,); none where nothing moves.

    b is drawn in proportion to that sum, d − b evenly, c evenly between b and d, a and e evenly outside, between `gap`
    and `span` frames away and in the same shot. A tuple whose c looks like its a or e asks nothing, and is not taken.
    """
    none = np.empty((0, 5), np.int64), np.empty(0, np.float32)
    shot = np.full(len(frames), -1)
    for k, (start, stop) in enumerate(shots):
        shot[start:stop] = k
    path = np.concatenate(
        [[0.0], np.nancumsum(motion.astype(np.float64))]
    )  # path[k]: up to and without frame k
    spans = [s for s in range(2, rule.span + 1) if _starts(shot, path, s, rule).any()]
    if not spans:
        return none
    looks = _looks(frames)
    least = _least(looks, shots, rule.similar, rng)
    taken: list[Rows] = []
    for _ in range(ROUNDS):
        drawn = _draw(shot, path, spans, rule, 2 * count, rng)
        a, _, c, _, e = drawn.T
        differ = np.minimum(_apart(looks, c, a), _apart(looks, c, e)) > least
        taken.append(drawn[differ])
        if sum(map(len, taken)) >= count:
            break
    found = np.concatenate(taken)[:count]
    return found, (path[found[:, 3] + 1] - path[found[:, 1] + 1]).astype(np.float32)


def _starts(shot: Rows, path: NDArray[np.float64], span: int, rule: Rule) -> NDArray[np.float64]:
    """How likely each frame is b where d is `span` frames on, unnormalised: the motion in between."""
    reach, last = span + rule.gap, len(shot)
    weight = np.zeros(last)
    b = np.arange(rule.gap, last - reach)
    if len(b):
        whole = (shot[b - rule.gap] == shot[b + reach]) & (shot[b] >= 0)
        weight[b] = np.where(whole, path[b + span + 1] - path[b + 1], 0)
    return weight.clip(0)


def _draw(
    shot: Rows, path: NDArray[np.float64], spans: list[int], rule: Rule, count: int, rng: np.random.Generator
) -> Rows:
    """(count, 5) candidates that satisfy everything but looks."""
    span = rng.choice(spans, size=count)
    b = np.empty(count, np.int64)
    for s in np.unique(span):
        sums = _starts(shot, path, int(s), rule).cumsum()
        mine = np.flatnonzero(span == s)
        b[mine] = np.searchsorted(sums, rng.random(len(mine)) * sums[-1], side="right")
    d = b + span
    first = np.searchsorted(shot, shot[b], side="left")  # shots follow each other, so their numbers rise
    last = np.searchsorted(shot, shot[b], side="right") - 1
    c = rng.integers(b + 1, d)
    a = rng.integers(np.maximum(first, b - rule.span), b - rule.gap, endpoint=True)
    e = rng.integers(d + rule.gap, np.minimum(last, d + rule.span), endpoint=True)
    return np.stack([a, b, c, d, e], 1)


def _looks(frames: Frames) -> Frames:
    """Every frame as a row of pixels, few of them: (F, P)."""
    return np.stack([shrunk(frame, SIDE).reshape(-1) for frame in frames])


def _apart(looks: Frames, first: Rows, second: Rows) -> Floats:
    """Mean squared distances of the colours of pairs of frames."""
    return np.asarray(np.square(looks[first].astype(np.float32) - looks[second]).mean(1))


def _least(looks: Frames, shots: Shots, similar: float, rng: np.random.Generator) -> float:
    """The distance that this share of random pairs of different frames of one shot stays below."""
    lengths = np.array([stop - start for start, stop in shots])
    starts = np.array([start for start, _ in shots])
    long = np.flatnonzero(lengths > 1)
    which = rng.choice(long, size=PAIRS, p=lengths[long] / lengths[long].sum())
    first = rng.integers(lengths[which])
    second = (first + rng.integers(1, lengths[which])) % lengths[which]
    return float(np.quantile(_apart(looks, starts[which] + first, starts[which] + second), similar))
