"""What pixels alone score: patches found by normalised cross-correlation, at every place of the later frame."""

from modalities.video.corpus import Videos
from modalities.video.propagation.held_out import boxes
from modalities.video.propagation.judging import by_task
from modalities.video.propagation.search import correlated


def run(corpus: Videos, *, seed: int, patches: int) -> dict[str, float]:
    """`patches`, 0: all: those of the transfer `localisation`, so that both are asked the same."""
    return by_task("localisation", boxes(corpus, patches, correlated, None))
