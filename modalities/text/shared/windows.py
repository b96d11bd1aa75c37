"""Windows of word2vec: frequent words thinned out, contexts around every word, negatives, Huffman codes.

Mikolov et al. 2013 (arXiv:1301.3781, 1310.4546), by the rules of the program they released. Sentences of a batch are
laid end to end and cut into blocks of B = BLOCK centre words with W words of room on both sides, so that a window of
many words is one product of matrices. N blocks, T words, V entries of the vocabulary, M negatives of a block.
"""

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.base import Batch, Index
from modalities.text.corpus import Texts
from modalities.text.packing import keep, read, write
from modalities.text.shared import preview
from modalities.text.shared.preview import Line, Mark

BLOCK = 32
POWER = 0.75  # of counts, in how often a word is drawn as a negative


@dataclass(frozen=True)
class Blocks:
    """Words of sentences in blocks; those of block n are `words[n, W : W + B]`, with their neighbours around them."""

    words: Index  # (N, C), C = B + 2W; 0 beyond the ends
    left: Index  # (N, B), how many words to the left are the context of each; 0 for places that hold no word
    right: Index  # (N, B)


def build(corpus: Texts, out: Path, *, size: int, min_count: int) -> None:
    """Vocabulary of words, tokens, how often each word occurs, and the sentences with two known words or more."""
    packed = write(corpus, out, kind="words", size=size, min_count=min_count)
    known = packed.tokens >= packed.vocabulary.specials
    if not known.any():
        raise ValueError(f"no word of the corpus occurs {min_count} times; lower build.min_count")
    counts = np.bincount(packed.tokens[known], minlength=len(packed.vocabulary))
    counts.astype("<i8").tofile(out / "counts.i64")
    before = np.concatenate([[0], np.cumsum(known)])
    keep(out, np.flatnonzero(np.diff(before[packed.offsets]) >= 2))


def counts(built: Path) -> Index:
    """(V,), how often each word occurs in the corpus; 0 for special tokens."""
    file = built / "counts.i64"
    if not file.exists():
        raise FileNotFoundError(f"{built} holds no counts.i64; run `dvc repro` first")
    return np.fromfile(file, "<i8")


def kept(occurs: Index, subsample: float) -> NDArray[np.float64]:
    """(V,), the share of each word's occurrences that stays: min(1, (√(f/t) + 1) · t/f), f its share of all words.

    The released program's rule, not the paper's, which drops 1 − √(t/f).
    """
    share = occurs / occurs.sum()
    ratio = subsample / np.maximum(share, 1e-300)
    stays: NDArray[np.float64] = np.minimum(1.0, np.sqrt(ratio) + ratio)
    return np.where(occurs > 0, stays, 0.0)


class Reader:
    """A built corpus as word2vec reads it: batches of blocks with their negatives."""

    def __init__(self, built: Path, *, window: int, subsample: float, pool: int) -> None:
        if window < 1 or pool < 1 or subsample <= 0:
            raise ValueError(
                f"model.window is {window}, model.pool {pool} and model.subsample {subsample}; all must be above 0"
            )
        self.packed = read(built)
        self.occurs = counts(built)
        self.window, self.pool = window, pool
        self.stays = kept(self.occurs, subsample)
        self.noise = noise(self.occurs)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Blocks of some sentences: `words` (N, C), `left` and `right` (N, B), `negatives` (N, pool)."""
        found = self.blocks(self.packed.examples[index, 0].astype(np.int64), rng)
        negatives = draw(self.noise, (len(found.words), self.pool), rng)
        parts = {"words": found.words, "left": found.left, "right": found.right, "negatives": negatives}
        return {name: torch.from_numpy(each) for name, each in parts.items()}

    def centres(self, batch: Batch) -> Tensor:
        """(N, B)"""
        return batch["words"][:, self.window : self.window + BLOCK]

    def context(self, batch: Batch) -> Tensor:
        """(N, B, C), whether a word is within the window of a centre; none is within its own."""
        offset = torch.arange(BLOCK + 2 * self.window, device=batch["left"].device) - self.window
        offset = offset - torch.arange(BLOCK, device=offset.device)[:, None]  # (B, C)
        left, right = batch["left"][..., None], batch["right"][..., None]
        return (offset >= -left) & (offset <= right) & (offset != 0)

    def blocks(self, sentences: Index, rng: np.random.Generator) -> Blocks:
        """Blocks of the words of these sentences. Words that do not stay leave before windows are laid.

        Every word's window is drawn evenly from 1 .. `window`, and none crosses the end of a sentence.
        """
        offsets = self.packed.offsets
        lengths = offsets[sentences + 1] - offsets[sentences]
        sentence = np.repeat(np.arange(len(sentences)), lengths)
        nth = np.arange(len(sentence)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        words = self.packed.tokens[offsets[sentences][sentence] + nth].astype(np.int64)
        stay = rng.random(len(words)) < self.stays[words]
        words, sentence = words[stay], sentence[stay]
        return cut(words, sentence, rng.integers(1, self.window + 1, len(words)), self.window)

    def preview(self, out: Path, rng: np.random.Generator, *, centre: Mark, context: Mark) -> None:
        """Some sentences as they are left after thinning, a centre and its context marked in each, the rest dim."""
        sentences = self.packed.examples[preview.some(len(self.packed.examples), rng, 40), 0].astype(np.int64)
        found = [self.blocks(sentence[None], rng) for sentence in sentences]
        lines = [
            self._line(each, rng, centre, context) for each in found if each.left.any() or each.right.any()
        ]
        preview.write(out, lines[:8])

    def _line(self, found: Blocks, rng: np.random.Generator, centre: Mark, context: Mark) -> Line:
        """The first block of one sentence."""
        places = np.flatnonzero((found.left + found.right)[0])
        offset = np.arange(BLOCK) - rng.choice(places)
        at = int(np.flatnonzero(offset == 0)[0])
        near = (offset >= -found.left[0, at]) & (offset <= found.right[0, at])
        marks: list[Mark] = [
            centre if not o else context if n else "dim" for o, n in zip(offset, near, strict=True)
        ]
        return preview.pieces(
            found.words[0, self.window : self.window + BLOCK], marks, self.packed.vocabulary
        )


def cut(words: Index, sentence: Index, reach: Index, window: int) -> Blocks:
    """Blocks of (T,) words, each with the number of its sentence and the reach of its window, at most `window`."""
    count = max(1, -(-len(words) // BLOCK))
    first = np.searchsorted(sentence, sentence, side="left")
    last = np.searchsorted(sentence, sentence, side="right") - 1
    place = np.arange(len(words))
    padded = np.zeros(count * BLOCK + 2 * window, np.int64)
    padded[window : window + len(words)] = words
    sides = np.zeros((2, count * BLOCK), np.int64)
    sides[:, : len(words)] = np.minimum(reach, [place - first, last - place])
    where = np.arange(count)[:, None] * BLOCK + np.arange(BLOCK + 2 * window)
    return Blocks(padded[where], sides[0].reshape(count, BLOCK), sides[1].reshape(count, BLOCK))


def noise(occurs: Index) -> NDArray[np.float64]:
    """(V,), running sums of the shares by which negatives are drawn: counts to the power of 3/4."""
    shares = occurs**POWER / (occurs**POWER).sum()
    running: NDArray[np.float64] = np.cumsum(shares)
    return running


def draw(running: NDArray[np.float64], shape: tuple[int, ...], rng: np.random.Generator) -> Index:
    """Words drawn by these running sums."""
    return np.searchsorted(running, rng.random(shape), side="right").astype(np.int64)


def huffman(occurs: Index) -> tuple[Index, NDArray[np.float32]]:
    """The Huffman code of every word that occurs: inner nodes from the root, and the turn at each.

    Nodes, (V, depth), are numbered from 0; turns, (V, depth), are +1 for the rarer branch, −1 for the other, 0 after
    the path's end. Ties go to the lower number, so that a corpus has one tree.
    """
    words = np.flatnonzero(occurs)
    heap = [(int(occurs[word]), k, ~int(word)) for k, word in enumerate(words)]  # ~word < 0 <= inner node
    heapq.heapify(heap)
    above: dict[int, tuple[int, int]] = {}
    for node in range(len(words) - 1):
        rare, common = heapq.heappop(heap), heapq.heappop(heap)
        above[rare[2]], above[common[2]] = (node, 1), (node, -1)
        heapq.heappush(heap, (rare[0] + common[0], len(words) + node, node))
    paths: dict[int, list[tuple[int, int]]] = {len(words) - 2: []}
    for node in range(len(words) - 3, -1, -1):  # a node's parent has a higher number
        paths[node] = [*paths[above[node][0]], above[node]]
    found = {int(word): [*paths[above[~int(word)][0]], above[~int(word)]] for word in words if len(words) > 1}
    depth = max(map(len, found.values()), default=1)
    nodes = np.zeros((len(occurs), depth), np.int64)
    turns = np.zeros((len(occurs), depth), np.float32)
    for word, path in found.items():
        nodes[word, : len(path)], turns[word, : len(path)] = zip(*path, strict=True)
    return nodes, turns
