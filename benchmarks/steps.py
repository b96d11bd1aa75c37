"""What training waits for its input: `python -m benchmarks.steps [MODALITY [METHOD ...]]`.

Of every method that params.yaml has settings for, on the corpus of the last run in artifacts/: samples a second end to
end, batches made as the loop makes them, and of the same step on one constant batch. One JSON line a method.
"""

import sys
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

import modalities
from benchmarks.rates import Rates, measured, tell
from modalities.base import Batch
from stages import cli, loop, optimizers, store
from stages.checkpoint import Run
from stages.reading import one

TURNS = 4
SECONDS = 1.0  # of a turn, about
CONSTANT = "the same step on one constant batch"


def training(job: cli.Job, corpus: Any, folder: Path) -> loop.Training:
    """What the loop would train, at the first step of its first epoch."""
    kind, train = modalities.pretext(job.modality, job.method), job.params["train"]
    job.call(kind.build, "build", corpus, folder, seed=job.seed)
    torch.manual_seed(job.seed)
    encoder = job.call(modalities.encoder(job.modality), "encoder")
    pretext = job.call(kind, "model", encoder, corpus, folder)
    where = loop.place(train["device"])
    pretext.to(where)
    if train["channels_last"]:
        pretext.to(memory_format=torch.channels_last)
    keys = {name: train[name] for name in ("weight_decay", "momentum", "betas")}
    players = pretext.players()
    made = [
        optimizers.make(loop.each(train["optimizer"], k), player, lr=loop.each(train["lr"], k), **keys)
        for k, player in enumerate(players)
    ]
    found = loop.Training(
        pretext, pretext, players, made, where, train["clip"], train["amp"], job.seed, train["health"], Run(), "steps"
    )  # fmt: skip
    found.begin_epoch(0)
    return found


def rates(made: loop.Training, batch: int, warmup: float) -> Rates:
    """Samples a second, end to end and on one constant batch."""
    numbers, steps = count(), 1_000_000  # a schedule that hardly moves

    def fresh() -> Batch:
        ready = one(made.pretext, made.seed, next(numbers), batch)
        return {name: x.to(made.where) for name, x in ready.items()}

    constant = fresh()

    def turn(some: int, read: bool) -> None:
        for _ in range(some):
            made.step(fresh() if read else constant, steps, warmup)
        if made.where.type == "cuda":
            torch.cuda.synchronize()

    turn(2, True)
    first = measured({"": (lambda: turn(2, True), 2 * batch)}, 1, warm=False)[""][0]
    some = max(2, round(SECONDS * first / batch))
    sides = {"ours": True, CONSTANT: False}
    return measured({name: (partial(turn, some, read), some * batch) for name, read in sides.items()}, TURNS)


def main(asked: list[str]) -> None:
    params = cli.load()
    names = asked[:1] or [name for name in modalities.modalities() if store.corpus_path(name).exists()]
    for modality in names:
        corpus: Any = modalities.corpus(modality)(store.corpus_path(modality))
        pretexts: Any = cli.block(params, modality, "pretexts")
        for method in asked[1:] or [name for name in pretexts if name != "random"]:
            job = cli.job(params, modality, method)
            train = job.params["train"]
            with tempfile.TemporaryDirectory() as folder:
                made = training(job, corpus.only("train"), Path(folder))
                found = rates(made, train["batch"], train["warmup"])
            wanted = 0.95 if method in ("simclr", "rotation") else 0.9
            tell(f"training, {modality} {method}", "samples/s", found, wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
