"""Lead: the first sentences of a document sum it up. Hard to beat on news."""

import numpy as np

from modalities.text.corpus import Texts
from modalities.text.shared.summarised import judged, means, named, picked, sets


def run(corpus: Texts, *, seed: int, sentences: int, limit: int, stem: bool) -> dict[str, float]:
    """ROUGE of the first `sentences`, as `summaries` has it."""
    found: dict[str, float] = {}
    for name, each in sets(corpus, limit=limit).items():
        made = picked(each, [np.arange(min(sentences, len(s))) for s in each.sentences])
        found |= {named(name, m): v for m, v in means(judged(made, each.references, stem=stem)).items()}
    return found
