"""Oracle: the sentences that suit the reference best, one by one. It reads the answer: what extraction could reach."""

from modalities.text.corpus import Texts
from modalities.text.shared import rouge
from modalities.text.shared.summarised import judged, means, named, picked, sets


def run(corpus: Texts, *, seed: int, sentences: int, limit: int, stem: bool) -> dict[str, float]:
    """ROUGE of at most `sentences`, as `summaries` has it."""
    found: dict[str, float] = {}
    for name, each in sets(corpus, limit=limit).items():
        chosen = [
            rouge.oracle(texts, reference, sentences, stem=stem)
            for texts, reference in zip(each.sentences, each.references, strict=True)
        ]
        made = picked(each, chosen)
        found |= {named(name, m): v for m, v in means(judged(made, each.references, stem=stem)).items()}
    return found
