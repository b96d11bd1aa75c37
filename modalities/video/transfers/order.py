"""Order: can a plane say, from frozen features of three frames, whether the middle one lies between the outer two?

Shuffle and learn (Misra et al. 2016, arXiv:1603.08561) as a test. Tuples follow the rules of `frame_order`, half of
them in order, half of them shown backwards. Logistic regression is fitted on tuples of training videos and asked about
those of test videos. It sees how far apart each two of the three vectors are, number by number: the vectors themselves,
side by side, would only be added up, and no sum of three scores says "between". What moves more looks less alike,
whatever an encoder has learnt: so read it beside `random`.
n tuples, M frames, E numbers of a frame's vector.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.base import Encoder, Index
from modalities.common import logistic
from modalities.common.device import device
from modalities.video.augment import squares
from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from modalities.video.mining import survey

READ = 256  # frames encoded at a time


def run(
    encoder: Encoder,
    corpus: Videos,
    fit: Any,
    out: Path,
    *,
    seed: int,
    limit: int,
    tuples: int,
    span_max: float,
    gap_min: float,
    similar: float,
    strengths: list[float],
    held_out: float,
) -> dict[str, float]:
    """Accuracy on the test split of the corpus, chance .5. Empty where either split has no tuple.

    limit: videos of each split, by id, 0: all. tuples: of a video, at most. strengths: of weight decay, of which one
    is chosen on the share `held_out` of the training videos. `fit` and `out` are not used. Raises ValueError where
    held_out is not between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"video.transfers.order.held_out is {held_out}; use a share between 0 and 1")
    look = survey.LookForTuples(tuples, span_max, gap_min, similar, seed)
    some = {split: np.flatnonzero(corpus.splits == split)[: limit or None] for split in ("train", "test")}
    videos = corpus.take(np.concatenate(list(some.values())))
    every = iter([each for _, each, _ in survey.over(videos, look, "order")])
    asked = {}
    for split, rows in some.items():
        videos = corpus.take(rows)
        rng = np.random.default_rng([seed, split == "test"])
        which, frames, label = questions([next(every) for _ in rows], rng)
        if len(np.unique(which)) < 2:
            return {}
        asked[split] = apart(triples(encoder, videos, which, frames)), label, which
    (x, y, which), (test, truth, _) = asked["train"], asked["test"]
    standard = logistic.Standard(x)
    weights = fitted(standard(x), y, which, strengths, held_out, seed)
    return {"accuracy": float(np.mean(predicted(standard(test), weights) == truth)), "accuracy.chance": 0.5}


def questions(found: list[Index], rng: np.random.Generator) -> tuple[Index, Index, Index]:
    """Of tuples a < b < c < d < e (n, 5) of each video: the video (n,), three frames (n, 3), 1 where in order (n,)."""
    which = np.repeat(np.arange(len(found)), [len(each) for each in found])
    five = np.concatenate([np.zeros((0, 5), np.int64), *found])
    label = rng.permutation(len(five)) % 2
    other = np.where(rng.random(len(five)) < 0.5, five[:, 0], five[:, 4])
    shown = np.stack([five[:, 1], np.where(label == 1, five[:, 2], other), five[:, 3]], 1)
    return which, np.where((rng.random(len(five)) < 0.5)[:, None], shown[:, ::-1], shown), label


@torch.inference_mode()
def triples(encoder: Encoder, corpus: Videos, which: Index, frames: Index) -> NDArray[np.float32]:
    """(n, 3, E): the vectors of the three frames. Each frame is encoded once."""
    where = device()
    encoder.to(where).eval()
    assert isinstance(encoder, Frames)
    pairs, places = np.unique(np.stack([which.repeat(3), frames.reshape(-1)], 1), axis=0, return_inverse=True)
    vectors = [
        encoder.vectors(squares(corpus, part[:, 0], part[:, 1], encoder.side).to(where)).float().cpu()
        for part in np.array_split(pairs, -(-len(pairs) // READ))
    ]
    return np.asarray(torch.cat(vectors).numpy()[places.reshape(-1)].reshape(len(frames), 3, -1))


def apart(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3 E) of (n, 3, E): how far first and middle are apart, middle and last, last and first."""
    far: NDArray[np.float32] = np.abs(vectors - np.roll(vectors, -1, 1))
    return far.reshape(len(vectors), -1)


def fitted(
    x: torch.Tensor, y: Index, which: Index, strengths: list[float], held_out: float, seed: int
) -> torch.Tensor:
    """Weights of logistic regression, its strength the best on a share of the videos, of equals the strongest."""
    target = torch.from_numpy(y).to(x.device)
    videos = np.random.default_rng([seed, 2]).permutation(np.unique(which))
    apart = np.isin(which, videos[: max(1, round(held_out * len(videos)))])
    seen, ordered = torch.from_numpy(~apart).to(x.device), sorted(strengths, reverse=True)
    paths = logistic.fit(x[seen], target[seen], strengths=ordered, tolerance=logistic.ROUGH)
    right = [int((predicted(x[~seen], weights) == y[apart]).sum()) for weights in paths]
    best = ordered[int(np.argmax(right))]
    return logistic.fit(x, target, strengths=[best], tolerance=logistic.CLOSE)[0]


def predicted(x: torch.Tensor, weights: torch.Tensor) -> Index:
    return logistic.predict(x, weights).cpu().numpy()
