"""Does a sample cost the same in a larger corpus? `python -m benchmarks.growth [SIZE ...]`: 2,000 20,000 200,000.

Different JPEG files of 32 px are written, then ingested (whole: listing, starting processes, hashing, decoding,
splitting, writing), trained on by rotation with the settings of params.yaml, and encoded; and 500 fixed queries look
for their neighbours among all. Rates are samples a second, of kNN items of the gallery: medians of ROUNDS, but ingest
is timed once, after a small one that imports and is dropped. One JSON line a size and piece of work, against the
smallest size.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ingest import read  # ingest's processes import this file's top: no torch there
from benchmarks.rates import Rates, measured, tell

SIZES, MANY = (2_000, 20_000, 200_000), 50_000
ROUNDS, STEPS, QUERIES, SIDE, EACH = 5, 6, 500, 32, 1_000


def files(base: NDArray[np.uint8], count: int, folder: Path) -> None:
    """`count` different JPEG files, EACH a folder: means of two of the EACH pictures of `base`, one shifted."""
    import cv2

    for k in range(count):
        shift, which = divmod(k, EACH)
        parent = folder / f"{shift:03d}"
        parent.mkdir(parents=True, exist_ok=True)
        other = np.roll(base[(which + 1 + shift) % EACH], shift, axis=1)
        cv2.imwrite(str(parent / f"{which:03d}.jpg"), base[which] // 2 + other // 2)


def work(count: int, source: Path, out: Path) -> Rates:
    """Samples a second of each piece of work on `count` samples."""
    import torch

    import modalities
    from benchmarks.steps import training
    from modalities.probes.knn import nearest
    from stages import cli
    from stages.probe import embed
    from stages.reading import one

    found = {"ingest": rounds(lambda: read(source, out, SIDE), count, 1, warm=False)}
    corpus: Any = modalities.corpus("image")(out)
    job = cli.job(cli.load(), "image", "rotation")
    train = job.params["train"]
    with tempfile.TemporaryDirectory() as folder:
        made = training(job, corpus.only("train"), Path(folder))

    def steps() -> None:
        for k in range(STEPS):
            made.step(one(made.pretext, job.seed, k, train["batch"]), STEPS, train["warmup"])

    found["training"] = rounds(steps, STEPS * train["batch"])
    encoder: Any = made.pretext.encoder
    vectors = torch.from_numpy(embed(encoder, corpus))
    found["embed"] = rounds(lambda: embed(encoder, corpus), count, 1 if count > MANY else ROUNDS, warm=False)
    labels = torch.arange(count) % 10
    found["kNN of 500 queries"] = rounds(
        lambda: nearest(vectors[:QUERIES], vectors, labels, k=20, temperature=0.07), count
    )
    return found


def rounds(run: Callable[[], object], count: int, number: int = ROUNDS, warm: bool = True) -> list[float]:
    return measured({"": (run, count)}, number, warm=warm)[""]


def main(sizes: list[int]) -> None:
    from benchmarks.pictures import pictures

    base = pictures(EACH, SIDE)
    smallest: Rates = {}
    with tempfile.TemporaryDirectory() as scratch:
        files(base, EACH, Path(scratch) / "warm")
        read(Path(scratch) / "warm", Path(scratch) / "warm-corpus", SIDE)
        for count in sizes:
            source = Path(scratch) / str(count)
            files(base, count, source)
            found = work(count, source, Path(scratch) / f"{count}-corpus")
            smallest = smallest or found
            for name, rates in found.items() if found is not smallest else ():
                against = {"ours": rates, f"of {sizes[0]:,}": smallest[name]}
                tell(f"{name}, {count:,} samples", "samples/s", against, 0.9)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(SIZES))
