"""ROUGE as the package `rouge-score` counts it, and the scores by which PEGASUS chooses its gaps.

Lin 2004; Zhang et al. 2019 (arXiv:1912.08777). Text is lower-cased and cut into runs of [a-z0-9]: other scripts score
0, so `latin` refuses them. F measures give precision and recall one weight, and are 0 for an empty text.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modalities.base import Index

FOREIGN = 0.2  # share of letters beyond ASCII from which on a corpus is refused
Words = list[str]


def words(text: str, *, stem: bool) -> Words:
    """The units that are counted. `stem` takes endings off words of more than three letters, as Porter does."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    if not stem:
        return found
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError:
        raise ValueError("stem: true needs nltk; pip install nltk, or set stem to false") from None
    porter = PorterStemmer()
    return [porter.stem(word) if len(word) > 3 else word for word in found]


def latin(texts: Sequence[str]) -> None:
    """Raise ValueError where more than a fifth of the letters are no ASCII: their ROUGE would be 0."""
    letters = [c for text in texts for c in text[:2000] if c.isalpha()]
    foreign = sum(not c.isascii() for c in letters)
    if foreign > FOREIGN * len(letters):
        raise ValueError(
            f"{foreign / len(letters):.0%} of this corpus's letters are no ASCII, and ROUGE counts a-z and 0-9 alone; "
            "take `summaries` out of text.transfers and text.baselines"
        )


def score(target: str, prediction: str, *, stem: bool) -> dict[str, float]:
    """F measures: rouge1, rouge2, rougeL of the whole texts, and rougeLsum of their lines, a sentence each."""
    wanted, found = words(target, stem=stem), words(prediction, stem=stem)
    lines = [[words(line, stem=stem) for line in text.split("\n") if line] for text in (target, prediction)]
    return {
        "rouge1": overlap(wanted, found, 1),
        "rouge2": overlap(wanted, found, 2),
        "rougeL": _f(sum(common(wanted, found)), len(wanted), len(found)),
        "rougeLsum": _union(*lines),
    }


def overlap(target: Words, prediction: Words, n: int) -> float:
    """F of runs of n words, each counted as often as in the one of the two that has it less often."""
    wanted, found = _runs(target, n), _runs(prediction, n)
    return _f((wanted & found).total(), wanted.total(), found.total())


def common(target: Words, prediction: Words) -> NDArray[np.bool_]:
    """(len(target),), true where a word belongs to a longest common subsequence."""
    kept = np.zeros(len(target), bool)
    if not target or not prediction:
        return kept
    number = {word: k for k, word in enumerate(dict.fromkeys([*target, *prediction]))}
    b = np.array([number[word] for word in prediction])
    table = np.zeros((len(target) + 1, len(b) + 1), np.int32)
    for i, word in enumerate(target):
        # Row by row: a cell is the largest of what stands above, left, and above-left plus one where words agree.
        here = np.maximum(table[i, 1:], np.where(b == number[word], table[i, :-1] + 1, 0))
        table[i + 1, 1:] = np.maximum.accumulate(here)
    i, j = len(target), len(b)
    while i and j:
        if target[i - 1] == prediction[j - 1]:
            kept[i - 1] = True
            i, j = i - 1, j - 1
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return kept


def gap_scores(sentences: Sequence[Words], *, unique: bool) -> list[float]:
    """ROUGE-1 F of each sentence and the rest of its document ("Ind-Orig"; with `unique`, "Ind-Uniq").

    The rest is a difference of multisets: a word that occurs once in the document is not in the rest.
    """
    counts = [Counter(set(each) if unique else each) for each in sentences]
    if unique:
        holds = Counter(word for each in counts for word in each)
        found = []
        for each in counts:
            rest = len(holds) - sum(holds[word] == 1 for word in each)
            found.append(_f(sum(holds[word] > 1 for word in each), rest, len(each)))
        return found
    whole: Counter[str] = Counter()
    for each in counts:
        whole.update(each)
    total = whole.total()
    found = []
    for each in counts:
        own = each.total()
        hits = sum(min(count, whole[word] - count) for word, count in each.items())
        found.append(_f(hits, total - own, own))
    return found


def oracle(sentences: Sequence[str], summary: str, most: int, *, stem: bool) -> Index:
    """Numbers of at most `most` sentences, chosen one by one to raise ROUGE-1 + ROUGE-2 against the summary."""
    wanted = words(summary, stem=stem)
    units = [words(each, stem=stem) for each in sentences]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < most:
        tried = {}
        for k in set(range(len(units))) - set(chosen):
            text = [word for j in sorted([*chosen, k]) for word in units[j]]
            tried[k] = overlap(wanted, text, 1) + overlap(wanted, text, 2)
        top = max(sorted(tried), key=tried.__getitem__, default=-1)
        if top < 0 or tried[top] <= best:
            break
        best = tried[top]
        chosen.append(top)
    return np.sort(np.array(chosen, np.int64))


def _runs(text: Words, n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(text[k:] for k in range(n)), strict=False))


def _union(target: list[Words], prediction: list[Words]) -> float:
    """rougeLsum: of each target line the words in any longest common subsequence with a predicted line, clipped."""
    left_target = Counter(word for line in target for word in line)
    left = Counter(word for line in prediction for word in line)
    hits, total, length = 0, left_target.total(), left.total()
    for line in target:
        kept = np.zeros(len(line), bool)
        for other in prediction:
            kept |= common(line, other)
        for word in (word for word, hit in zip(line, kept, strict=True) if hit):
            if left_target[word] > 0 and left[word] > 0:
                left_target[word] -= 1
                left[word] -= 1
                hits += 1
    return _f(hits, total, length)


def _f(hits: float, target: int, prediction: int) -> float:
    """2 P R / (P + R), which is twice the hits over both lengths."""
    return 2 * float(hits) / (target + prediction) if hits else 0.0
