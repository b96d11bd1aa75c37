"""Is a pretrained trunk worth it where places are asked for? `python -m benchmarks.pretrained_trunks TASK ZIP [METHOD]`

TASK is segmentation (masks/ beside images/) or detection (annotations/ beside images/). METHOD, simclr by default, is
pretrained on the training pictures of the set itself, without their masks or boxes; `random` is the same network
untrained. Both then go through the same schedule of the transfer, with SEEDS. One JSON line a run, and at the end the
means and standard deviations of both, with the difference in standard errors of it.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import modalities
from modalities.image.corpus import Images, corpus
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.ingest import ingest
from modalities.image.transfers import detection, segmentation
from stages import cli, loop

SEEDS = (17, 18, 19)
STORED, SIDE = 96, 48  # pixels of stored pictures, of what is pretrained on
PRETRAIN: dict[str, Any] = {"samples": 6_000, "batch": 64}
TUNE: dict[str, Any] = {"batch": 16, "optimizer": "adamw", "weight_decay": 1e-2}
VOID = 11  # of CamVid: not judged


def pretrained(method: str, pictures: Images, seed: int, scratch: Path) -> ImageEncoder:
    """The network of `method` after PRETRAIN, or as it is drawn where the method is not trained."""
    params = cli.load()["image"]
    own = params["pretexts"][method]
    torch.manual_seed(loop.number(seed))
    trunk = encoder(arch="resnet18", width=16, stem="3x3-pool", norm="batch", side=SIDE)
    made = modalities.pretext("image", method)(trunk, pictures.only("train"), scratch, **own["model"])
    settings = params["train"] | PRETRAIN | own["train"] | {"device": "cpu"}
    loop.fit(made, seed=seed, scratch=scratch / f"{method} {seed}", label=f"{method} {seed}", **settings)
    assert isinstance(made.encoder, ImageEncoder)
    return made.encoder


def judged(task: str, trunk: ImageEncoder, pictures: Images, seed: int, scratch: Path) -> dict[str, float]:
    """What the transfer finds, with the modality's `train` for all that TUNE does not say."""
    train = cli.load()["image"]["train"] | {"device": "cpu"}

    def fit(pretext: Any, *, label: str, **changes: Any) -> None:
        where = scratch / f"{task} {seed} {label}"
        loop.fit(pretext, seed=seed, scratch=where, label=f"{label} {seed}", **(train | changes))

    if task == "segmentation":
        return segmentation.run(
            trunk, pictures, fit, scratch, seed=seed, modes=["frozen", "tuned"], head="linear", channels=64,
            ignore=[VOID], crop=[0.5, 1.0], head_lr=10.0, samples=2_400, lr=1e-3, **TUNE,
        )  # fmt: skip
    return detection.run(
        trunk, pictures, fit, scratch, seed=seed, modes=["tuned"], channels=32, head_lr=1.0, clip=10.0,
        samples=4_000, lr=2e-3, **TUNE,
    )  # fmt: skip


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """[mean, deviation] of each method by metric, and how many standard errors the second is ahead of the first."""
    about: dict[str, Any] = {}
    for metric in [name for name in next(iter(runs.values()))[0] if not name.endswith(".chance")]:
        pairs = {}
        for method, found in runs.items():
            values = [run[metric] for run in found]
            pairs[method] = statistics.mean(values), statistics.stdev(values)
        (first, spread), (second, other) = pairs.values()
        error = ((spread**2 + other**2) / len(SEEDS)) ** 0.5
        about[metric] = {name: [round(x, 4) for x in pair] for name, pair in pairs.items()}
        about[metric]["standard errors ahead"] = round((second - first) / error, 2) if error else None
    return about


def main(task: str, source: str, method: str) -> None:
    runs: dict[str, list[dict[str, float]]] = {"random": [], method: []}
    with tempfile.TemporaryDirectory() as folder:
        out, scratch = Path(folder) / "corpus", Path(folder)
        ingest(source, out, side=STORED, fit="squash", labels="none", test=0.25, max_rejected=0.05, limit=0,
               composed={}, tasks={})  # fmt: skip
        pictures = corpus(out)
        for seed in SEEDS:
            for name in runs:
                began = time.monotonic()
                trunk = pretrained(name, pictures, seed, scratch)
                between = time.monotonic()
                runs[name].append(judged(task, trunk, pictures, seed, scratch))
                times = {"pretrain_s": between - began, "task_s": time.monotonic() - between}
                rounded = {key: round(value, 1) for key, value in times.items()}
                print(json.dumps({"method": name, "seed": seed} | rounded | runs[name][-1]), flush=True)
    print(json.dumps(summary(runs)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("segmentation", "detection"):
        raise SystemExit(
            "usage: python -m benchmarks.pretrained_trunks segmentation|detection FOLDER_OR_ZIP [METHOD]"
        )
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "simclr")
