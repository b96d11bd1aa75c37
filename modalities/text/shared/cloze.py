"""Words left out of held-out text, and others that could have stood there: the same for every model.

The last word of a passage (LAMBADA's form, Paperno et al. 2016, arXiv:1606.06031), and ten to choose from.
"""

import re
from dataclasses import dataclass

import numpy as np

from modalities.text.corpus import Texts, evenly

CHOICES = 10
LAST = re.compile(r"^(.*\S) ([^\W\d_]{2,})\W*$", re.DOTALL)


@dataclass(frozen=True)
class Passage:
    """`context` lacks its last word, `word`, and the space before it; `choices` holds that word too."""

    context: str
    word: str
    choices: list[str]


def parted(corpus: Texts, count: int) -> list[tuple[str, str]]:
    """(all before its last word, that word) of passages of one document each, evenly spread.

    From a document's beginning to the end of a sentence but the first.
    """
    first = corpus.first[corpus.document_of()]
    later = np.flatnonzero(np.arange(len(first)) > first)
    later = later[evenly(len(later), count)]
    begins = corpus.spans[corpus.document_of()[later], 0]
    texts = (
        corpus.text[a:b].tobytes().decode() for a, b in zip(begins, corpus.sentences[later, 1], strict=True)
    )
    return [(match[1], match[2]) for text in texts if (match := LAST.match(text))]


def last_words(corpus: Texts, *, count: int, seed: int) -> list[Passage]:
    """At most so many passages. The nine other choices of each are last words of others, drawn from the different ones.

    Fewer than ten different words in all give no passage.
    """
    passages = parted(corpus, count)
    words = sorted({word for _, word in passages})
    if len(words) < CHOICES:
        return []
    rng = np.random.default_rng(seed)
    found = []
    for context, word in passages:
        others = [each for each in rng.choice(words, CHOICES, replace=False).tolist() if each != word]
        choices = [*others[: CHOICES - 1], word]
        found.append(Passage(context, word, [choices[k] for k in rng.permutation(CHOICES)]))
    return found
