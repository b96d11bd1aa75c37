"""Pretrain one encoder: `python -m stages.pretrain image rotation 17`, or under torchrun with several processes."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

import modalities
from modalities.base import Pretext
from stages import checkpoint, cli, clock, code, loop, store


def pretrain(job: cli.Job) -> dict[str, float] | None:
    """Train to the end of the schedule; write encoder and history; return the last epoch's means, beside chance."""
    corpus_path, built = job.path(store.corpus_path), job.path(store.built_path)
    corpus = modalities.corpus(job.modality)(corpus_path).only("train")
    torch.manual_seed(loop.number(job.seed))
    encoder = job.call(modalities.encoder(job.modality), "encoder")
    kind = modalities.pretext(job.modality, job.method)
    cli.check(loop.fit, job.params["train"], f"{job.modality}.train", ("seed", "scratch", "label"))
    pretext: Pretext = job.call(kind, "model", encoder, corpus, built)
    about = {key: job.params[key] for key in ("encoder", "build", "model", "train")}
    data = json.loads((corpus_path / "meta.json").read_text())["fingerprint"]
    unfinished = checkpoint.scratch(job.modality, job.method, job.seed, about, data, store.digest(built))
    label = f"{job.modality} {job.method} {job.seed}"
    with loop.ranks(job.params["train"]["device"]) as rank:
        machine = clock.machine(loop.place(job.params["train"]["device"]))
        rows: list[dict[str, float]] = job.call(
            loop.fit, "train", pretext, seed=job.seed, scratch=unfinished, label=label
        )
        if rank:
            return None
    runs = code.summary(code.method(job.modality, "pretrain", job.method))
    with store.writing(job.path(store.model_path)) as out:
        names = {"modality": job.modality, "method": job.method, "seed": job.seed}
        store.save_encoder(pretext.encoder, out, **names, params=about, corpus=data, code=runs)
        write_history(rows, out / "history.csv")
    made = store.digest(job.path(store.model_path) / "encoder.safetensors")
    clock.made(store.log_path(*label.split()), unfinished.name, made, machine)
    chance = {f"{name}.chance": value for name, value in pretext.chance().items() if name in rows[-1]}
    return rows[-1] | chance


def write_history(rows: list[dict[str, float]], file: Path) -> None:
    """One line an epoch; a column for everything that any epoch logged."""
    columns: dict[str, Any] = dict.fromkeys(key for row in rows for key in row)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    cli.main(pretrain, takes=("modality", "method", "seed"))
