"""Accuracy and time against lightly: `python -m benchmarks.quality_vs_lightly FOLDER [SAMPLES] [METHOD ...]`.

FOLDER has train/ and test/, each with class folders of JPEG files. Every method is trained twice a seed: put together
as lightly's own examples do, from its transforms, heads and losses, ImageFolder and a DataLoader of two workers that is
started anew every epoch; and by this project's method and loop on the store that ingest wrote. Both get the network
that the `image` block of params.yaml describes, which normalises by itself, the same samples, batch, optimiser,
schedule and augmentation settings, and are judged by the same probes. Seconds are those of training, input included;
sides take turns.`--channels-last` gives lightly's side the memory format that ours has, which its examples do without.

One JSON line a run, and one a method with means, standard deviations and the ratio of the rates.
"""

import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    MoCoProjectionHead,
    SimCLRProjectionHead,
    SwaVProjectionHead,
    SwaVPrototypes,
)
from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from lightly.transforms.moco_transform import MoCoV2Transform
from lightly.transforms.simclr_transform import SimCLRTransform
from lightly.transforms.swav_transform import SwaVTransform
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

import modalities
from benchmarks.rates import tell
from modalities.base import Encoder, Features
from modalities.probes import knn, linear
from stages import cli, loop, optimizers
from stages.probe import embed

SEEDS = (17, 18, 19)


def keywords(recipe: dict[str, Any]) -> dict[str, Any]:
    """Our augmentation settings in lightly's names."""
    brightness, contrast, saturation, hue = recipe["jitter"]
    return {
        "cj_prob": recipe["jitter_share"], "cj_strength": 1.0, "cj_bright": brightness, "cj_contrast": contrast,
        "cj_sat": saturation, "cj_hue": hue, "random_gray_scale": recipe["gray"], "gaussian_blur": recipe["blur"],
        "hf_prob": recipe["flip"], "normalize": None,
    }  # fmt: skip


class SimCLR(nn.Module):
    def __init__(self, encoder: Encoder, model: dict[str, Any], steps: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = SimCLRProjectionHead(encoder.dim, encoder.dim, model["dim"])
        self.criterion = NTXentLoss(temperature=model["temperature"])

    @staticmethod
    def transform(model: dict[str, Any], side: int) -> Any:
        recipe = model["recipe"]
        return SimCLRTransform(input_size=side, min_scale=recipe["scale"][0], **keywords(recipe))

    def forward(self, views: list[Tensor], step: int) -> Tensor:
        first, second = (self.head(self.encoder(view)) for view in views)
        loss: Tensor = self.criterion(first, second)
        return loss


class MoCo(nn.Module):
    def __init__(self, encoder: Encoder, model: dict[str, Any], steps: int) -> None:
        super().__init__()
        self.encoder, self.momentum = encoder, model["momentum"]
        self.head = MoCoProjectionHead(encoder.dim, model["hidden"], model["dim"])
        self.slow, self.slow_head = copy.deepcopy(self.encoder), copy.deepcopy(self.head)
        deactivate_requires_grad(self.slow)
        deactivate_requires_grad(self.slow_head)
        bank = (model["queue"], model["dim"])
        self.criterion = NTXentLoss(temperature=model["temperature"], memory_bank_size=bank)

    @staticmethod
    def transform(model: dict[str, Any], side: int) -> Any:
        recipe = model["recipes"][0]
        return MoCoV2Transform(input_size=side, min_scale=recipe["scale"][0], **keywords(recipe))

    def forward(self, views: list[Tensor], step: int) -> Tensor:
        update_momentum(self.encoder, self.slow, m=self.momentum)
        update_momentum(self.head, self.slow_head, m=self.momentum)
        query = self.head(self.encoder(views[0]))
        with torch.no_grad():
            mixed, order = batch_shuffle(views[1])
            key = batch_unshuffle(self.slow_head(self.slow(mixed)), order)
        loss: Tensor = self.criterion(query, key)
        return loss


class BYOL(nn.Module):
    def __init__(self, encoder: Encoder, model: dict[str, Any], steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        self.momentum, self.momentum_end = model["momentum"], model["momentum_end"]
        self.head = BYOLProjectionHead(encoder.dim, model["hidden"], model["dim"])
        self.predictor = BYOLPredictionHead(model["dim"], model["hidden"], model["dim"])
        self.slow, self.slow_head = copy.deepcopy(self.encoder), copy.deepcopy(self.head)
        deactivate_requires_grad(self.slow)
        deactivate_requires_grad(self.slow_head)
        self.criterion = NegativeCosineSimilarity()

    @staticmethod
    def transform(model: dict[str, Any], side: int) -> Any:
        kinds: Any = (BYOLView1Transform, BYOLView2Transform)
        first, second = (
            kind(
                input_size=side, min_scale=recipe["scale"][0], solarization_prob=recipe["solarise"], **keywords(recipe)
            )
            for kind, recipe in zip(kinds, model["recipes"], strict=True)
        )  # fmt: skip
        return BYOLTransform(view_1_transform=first, view_2_transform=second)

    def forward(self, views: list[Tensor], step: int) -> Tensor:
        momentum = cosine_schedule(step, self.steps, self.momentum, self.momentum_end)
        update_momentum(self.encoder, self.slow, m=momentum)
        update_momentum(self.head, self.slow_head, m=momentum)
        guesses = [self.predictor(self.head(self.encoder(view))) for view in views]
        with torch.no_grad():
            targets = [self.slow_head(self.slow(view)) for view in views]
        loss: Tensor = 0.5 * (self.criterion(guesses[0], targets[1]) + self.criterion(guesses[1], targets[0]))
        return loss


class SwAV(nn.Module):
    def __init__(self, encoder: Encoder, model: dict[str, Any], steps: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = SwaVProjectionHead(encoder.dim, model["hidden"], model["dim"])
        frozen = round(model["frozen_until"] * steps)
        self.prototypes = SwaVPrototypes(model["dim"], model["prototypes"], n_steps_frozen_prototypes=frozen)
        self.criterion = SwaVLoss(
            temperature=model["temperature"],
            sinkhorn_iterations=model["rounds"],
            sinkhorn_epsilon=model["epsilon"],
        )

    @staticmethod
    def transform(model: dict[str, Any], side: int) -> Any:
        recipe = model["crops"]["large"]
        return SwaVTransform(
            crop_sizes=(side,), crop_counts=(2,), crop_min_scales=(recipe["scale"][0],),
            crop_max_scales=(recipe["scale"][1],), **keywords(recipe),
        )  # fmt: skip

    def forward(self, views: list[Tensor], step: int) -> Tensor:
        self.prototypes.normalize()
        unit = [nn.functional.normalize(self.head(self.encoder(view)), dim=1) for view in views]
        loss: Tensor = self.criterion([self.prototypes(each, step) for each in unit], [])
        return loss


PEERS: dict[str, Callable[..., nn.Module]] = {"simclr": SimCLR, "moco": MoCo, "byol": BYOL, "swav": SwAV}


def theirs(job: cli.Job, encoder: Encoder, folder: Path, channels_last: bool) -> Encoder:
    """Train lightly's side for the same number of samples; return the encoder."""
    model, train = job.params["model"], job.params["train"]
    peer: Any = PEERS[job.method]
    images = ImageFolder(str(folder / "train"), transform=peer.transform(model, encoder.side))
    loader = DataLoader(images, batch_size=train["batch"], shuffle=True, drop_last=True, num_workers=2)
    steps = -(-train["samples"] // train["batch"])
    network = peer(encoder, model, steps).train()
    if channels_last:
        network.to(memory_format=torch.channels_last)
    kept = ("lr", "weight_decay", "momentum", "betas")
    optimizer = optimizers.make(train["optimizer"], network, **{name: train[name] for name in kept})
    step = 0
    while step < steps:
        for views, _ in loader:
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * loop.schedule(step, steps, train["warmup"])
            loss = network(views, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == steps:
                break
    return encoder


def ours(job: cli.Job, encoder: Encoder, train: Any, seed: int) -> Encoder:
    with tempfile.TemporaryDirectory() as folder:
        pretext = job.call(modalities.pretext("image", job.method), "model", encoder, train, Path(folder))
        loop.fit(
            pretext, seed=seed, scratch=Path(folder) / "run", label=f"{job.method} {seed}", **job.params["train"]
        )  # fmt: skip
    return encoder


def judged(encoder: Encoder, corpus: Any, params: cli.Params, seed: int) -> dict[str, float]:
    vectors = embed(encoder.eval().to(memory_format=torch.channels_last), corpus)
    features = Features(vectors, corpus.labels, corpus.splits, corpus.ids, corpus.classes)
    probes: Any = params["image"]["probes"]
    return {
        "knn": knn.run(features, seed=seed, **probes["knn"])["accuracy"],
        "linear": linear.run(features, seed=seed, **probes["linear"])["accuracy"],
    }


def compare(
    method: str, folder: Path, corpus: Any, params: cli.Params, samples: int, channels_last: bool
) -> None:
    job = cli.job(params, "image", method)
    job.params["train"]["samples"] = samples
    found: dict[str, list[dict[str, float]]] = {"ours": [], "lightly": []}
    for seed in SEEDS:
        for side, runs in found.items():
            torch.manual_seed(seed)
            np.random.seed(seed)
            encoder = job.call(modalities.encoder("image"), "encoder")
            began = time.monotonic()
            if side == "ours":
                ours(job, encoder, corpus.only("train"), seed)
            else:
                theirs(job, encoder, folder, channels_last)
            took = time.monotonic() - began
            runs.append(judged(encoder, corpus, params, seed) | {"seconds": round(took, 1)})
            print(json.dumps({"method": method, "seed": seed, "side": side} | runs[-1]), flush=True)
    rates = {side: [samples / run["seconds"] for run in runs] for side, runs in found.items()}
    tell(f"{method}, training on {samples:,} samples", "samples/s", rates, 1 / 0.7, **summary(found))


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means and deviations of both sides, and the difference in standard errors of it."""
    about: dict[str, Any] = {}
    for name in ("knn", "linear"):
        mean, std = {}, {}
        for side, runs in found.items():
            scores = [run[name] for run in runs]
            mean[side], std[side] = statistics.mean(scores), statistics.stdev(scores)
            about[f"{name} {side}"] = [round(mean[side], 4), round(std[side], 4)]
        error = (sum(value**2 for value in std.values()) / len(SEEDS)) ** 0.5
        about[f"{name} ahead by, in standard errors"] = round((mean["ours"] - mean["lightly"]) / error, 2)
    return about


def main(folder: Path, samples: int, methods: list[str], channels_last: bool) -> None:
    params = cli.load()
    job = cli.job(params, "image")
    del job.params["ingest"]["source"]
    job.params["ingest"]["side"] = params["image"]["encoder"]["side"]
    with tempfile.TemporaryDirectory() as out:
        job.call(modalities.ingest("image"), "ingest", str(folder), Path(out) / "corpus")
        corpus = modalities.corpus("image")(Path(out) / "corpus")
        for method in methods:
            compare(method, folder, corpus, params, samples, channels_last)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--channels-last"]
    budget = int(words[1]) if len(words) > 1 else 16_000
    main(Path(words[0]), budget, words[2:] or list(PEERS), "--channels-last" in sys.argv)
