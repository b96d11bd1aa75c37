"""Documents and what sums them up, and how well sentences of them, or what is written, does.

References are the corpus's summaries; else the titles; else the sentence most like the rest, which is then taken out
("pseudo"). N documents.
"""

from dataclasses import dataclass

import numpy as np

from modalities.base import Index
from modalities.text.corpus import Texts, evenly
from modalities.text.shared import rouge

MEASURES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
LEAST = 3  # sentences of a document
MOST = 60  # sentences of a document that are looked at


@dataclass(frozen=True)
class Cases:
    """Documents as their sentences, and a reference each, its sentences on lines of their own."""

    sentences: list[list[str]]
    references: list[str]

    def __len__(self) -> int:
        return len(self.sentences)

    def documents(self, index: Index, most: int) -> list[str]:
        """As text, at most so many bytes of each or a little more: the loop looks at spread and rank of some."""
        return [" ".join(self.sentences[k])[:most] for k in index]


def cases(corpus: Texts, split: str, *, limit: int) -> tuple[str, Cases]:
    """What the references are ("", "titles" or "pseudo") and at most so many documents of the split, evenly spread."""
    index = np.flatnonzero(corpus.splits == split)
    kind = "" if any(corpus.summaries) else "titles" if any(corpus.titles) else "pseudo"
    column = corpus.titles if kind == "titles" else corpus.summaries
    counts = np.diff(corpus.first)
    index = index[[counts[k] >= LEAST and (kind == "pseudo" or bool(column[k].strip())) for k in index]]
    index = index[evenly(len(index), limit)]
    made = [corpus.strings(range(*corpus.first[k : k + 2]))[:MOST] for k in index]
    if kind != "pseudo":
        return kind, Cases(made, [column[k] for k in index])
    best = [
        int(np.argmax(rouge.gap_scores([rouge.words(s, stem=False) for s in each], unique=False)))
        for each in made
    ]
    rest = [each[:k] + each[k + 1 :] for each, k in zip(made, best, strict=True)]
    return kind, Cases(rest, [each[k] for each, k in zip(made, best, strict=True)])


def sets(corpus: Texts, *, limit: int) -> dict[str, Cases]:
    """Test documents by name of the set: the corpus's own, and those of each task with summaries.

    Raises ValueError where they are written in another script than ROUGE counts.
    """
    found = {}
    kind, own = cases(corpus, "test", limit=limit)
    if len(own):
        found[kind] = own
    for name, each in corpus.tasks("summaries").items():
        found[name] = cases(each, "test", limit=limit)[1]
    found = {name: each for name, each in found.items() if len(each)}
    for judged_on in found.values():
        rouge.latin(judged_on.references)
    return found


def judged(made: list[str], references: list[str], *, stem: bool) -> dict[str, list[float]]:
    """ROUGE of each of the texts, by measure."""
    rows = [rouge.score(wanted, text, stem=stem) for wanted, text in zip(references, made, strict=True)]
    return {name: [row[name] for row in rows] for name in MEASURES}


def means(found: dict[str, list[float]], prefix: str = "") -> dict[str, float]:
    return {prefix + name: float(np.mean(values)) for name, values in found.items()}


def interval(values: list[float], *, times: int, seed: int) -> tuple[float, float]:
    """The middle 95 % of the means of so many resamples (bootstrap)."""
    draws = np.random.default_rng(seed).integers(0, len(values), (times, len(values)))
    low, high = np.percentile(np.asarray(values)[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)


def picked(each: Cases, chosen: list[Index]) -> list[str]:
    """The chosen sentences of each document in their order, one a line."""
    return ["\n".join(s[k] for k in sorted(rows)) for s, rows in zip(each.sentences, chosen, strict=True)]


def named(name: str, metric: str) -> str:
    """A metric of a set, as a baseline writes it."""
    return f"summaries ({name}).{metric}" if name else f"summaries.{metric}"
