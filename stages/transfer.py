"""Tasks that need one encoder itself: `python -m stages.transfer image rotation 17`.

A task may leave pictures, or text with marks, in artifacts/shown/<modality>/<method>/<seed>/<task>, for the report.
"""

import json
from typing import Any

import modalities
from modalities.base import Pretext
from stages import checkpoint, cli, loop, store


def transfer(job: cli.Job) -> dict[str, Any]:
    """Return what each transfer of params.yaml finds, by its name, and by "name (set)" for a further labelled set."""
    wanted = dict(cli.block(job.params, "transfers") or {})
    for name, params in wanted.items():
        run = modalities.transfer(job.modality, name)
        cli.check(run, params, f"{job.modality}.transfers.{name}", ("seed",))
    # The modality's own settings, without what the method's pretraining changes in them: all encoders are tuned alike.
    train = cli.block(cli.load(), job.modality, "train")
    folder = job.path(store.model_path)
    encoder = store.load_encoder(folder)
    corpus_path = job.path(store.corpus_path)
    corpus = modalities.corpus(job.modality)(corpus_path)
    found: dict[str, Any] = {"encoder": store.digest(folder / "encoder.safetensors")}
    data = json.loads((corpus_path / "meta.json").read_text())["fingerprint"]
    with store.writing(job.path(store.shown_path)) as shown:
        shown.mkdir()
        for name in sorted(wanted):
            key = (job.modality, job.method, job.seed, "transfer", name, wanted[name], found["encoder"], data)
            fit = Bound(job, name, train, key)
            run = modalities.transfer(job.modality, name)
            out = shown / name
            out.mkdir()
            metrics = job.call(run, f"transfers.{name}", encoder, corpus, fit, out, seed=job.seed)
            for metric, value in metrics.items():
                of, slash, rest = metric.partition("/")  # "davis/J" is the J of the set davis
                task, metric = (f"{name} ({of})", rest) if slash else (name, metric)
                found.setdefault(task, {})[metric] = value
    return found


class Bound:
    """The training loop as a transfer sees it: seed, scratch and the modality's `train` are settled."""

    def __init__(self, job: cli.Job, name: str, train: cli.Params, key: tuple[Any, ...]) -> None:
        self.job = job
        self.where = f"{job.modality}.transfers.{name}"
        self.train = train
        self.key = key

    def __call__(self, pretext: Pretext, *, label: str, **changes: Any) -> list[dict[str, float]]:
        """Train with `changes` over the modality's settings. Runs with different labels are resumed apart."""
        settings = self.train | changes
        cli.check(loop.fit, settings, self.where, ("seed", "scratch", "label"))
        unfinished = checkpoint.scratch(*self.key, settings, label)
        name = f"{self.job.modality} {self.job.method} {self.job.seed} {label}"
        return loop.fit(pretext, seed=self.job.seed, scratch=unfinished, label=name, **settings)


if __name__ == "__main__":
    cli.main(transfer, takes=("modality", "method", "seed"))
