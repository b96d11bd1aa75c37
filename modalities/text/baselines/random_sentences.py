"""Random sentences: as many as a summary has, drawn evenly."""

import numpy as np

from modalities.text.corpus import Texts
from modalities.text.shared.summarised import judged, means, named, picked, sets


def run(corpus: Texts, *, seed: int, sentences: int, limit: int, stem: bool) -> dict[str, float]:
    """ROUGE of any `sentences`, as `summaries` has it."""
    found: dict[str, float] = {}
    for name, each in sets(corpus, limit=limit).items():
        rng = np.random.default_rng(seed)
        chosen = [rng.permutation(len(s))[:sentences] for s in each.sentences]
        made = picked(each, chosen)
        found |= {named(name, m): v for m, v in means(judged(made, each.references, stem=stem)).items()}
    return found
