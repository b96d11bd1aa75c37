"""The one training loop: whole batches, AMP, DDP, exact resume, health, a progress bar.

Step k of a run reads samples that are a pure function of (seed, k), augmented from a generator of (seed, k), after
torch is seeded from (seed, k). So a checkpoint is the state of the pretext and its optimizers and a step number, and
a run that is killed anywhere and started again ends in the same bits.
"""

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from modalities.base import Batch, Index, Pretext
from modalities.common import distributed
from modalities.common.embedding import embedded
from modalities.common.health import effective_rank, spread
from modalities.common.progress import track
from stages.checkpoint import Row, Run, keep, resume
from stages.clock import clock
from stages.optimizers import Name, forget, make
from stages.reading import batches

CHECKPOINT_SECONDS = 20.0  # how much work a kill can cost; no result depends on it
READ_STEPS = 10  # steps between two readings of the metrics: each one waits for the device


def fit(
    pretext: Pretext,
    *,
    seed: int,
    scratch: Path,
    label: str,
    samples: int,
    batch: int,
    optimizer: Name | list[Name],
    lr: float | list[float],
    weight_decay: float,
    momentum: float,
    betas: list[float],
    warmup: float,
    clip: float,
    amp: bool,
    health: int,
    device: str,
    channels_last: bool,
    read_ahead: int,
    compile: bool,
    augment: Literal["kernel", "device"] = "kernel",
) -> list[Row]:
    """Train to the end of the schedule; return one row of means an epoch, with spread and rank at its end.

    `samples` are drawn in all, `batch` at a time over all ranks. `optimizer` and `lr` may be lists, one value a
    player. Raises ValueError where the settings do not fit the data, and where the loss stops being a number.
    """
    per_epoch, steps = pretext.samples() // batch, math.ceil(samples / batch)
    if samples and not per_epoch:
        raise ValueError(f"train.batch is {batch}, but there are only {pretext.samples()} samples; lower it")
    if batch % distributed.world():
        raise ValueError(f"train.batch is {batch}; use a multiple of the {distributed.world()} processes")
    where = place(device)
    pretext.to(where)
    if augment == "device":
        if not hasattr(pretext.corpus, "on"):
            raise ValueError(
                "train.augment is device, but batches of this modality are made on the CPU; use kernel"
            )
        pretext.corpus = pretext.corpus.on(where)
    if channels_last:
        pretext.to(memory_format=torch.channels_last)
    players = pretext.players()
    made = [
        make(
            each(optimizer, k),
            player,
            lr=each(lr, k),
            weight_decay=weight_decay,
            momentum=momentum,
            betas=betas,
        )
        for k, player in enumerate(players if steps else [])
    ]
    run = resume(scratch, pretext, made, where)
    forward = parallel(pretext, len(players), where)
    training = Training(
        pretext,
        torch.compile(forward) if compile else forward,
        players,
        made,
        where,
        clip,
        amp,
        seed,
        health,
        run,
        label,
    )
    if not steps:
        training.begin_epoch(0)
        training.end_epoch(0, 0)
        return run.rows

    saved = time.monotonic()
    begun = run.step * batch
    with track(steps * batch, "samples", label, begun) as shown, clock(label, scratch.name, begun) as tick:
        for epoch in range(run.step // per_epoch, math.ceil(steps / per_epoch)):
            if run.step == epoch * per_epoch:
                training.begin_epoch(epoch)
            stop = min(steps, (epoch + 1) * per_epoch)
            for ready in batches(pretext, seed, run.step, stop, batch, read_ahead, where):
                training.step(ready, steps, warmup)
                if run.step % READ_STEPS == 0 or run.step == stop:
                    shown.advance(run.step * batch - shown.done, watch(run, label, each(lr, 0)))
                if time.monotonic() - saved > CHECKPOINT_SECONDS and run.step < stop:
                    keep(scratch, pretext, made, run)
                    saved = time.monotonic()
            training.end_epoch(epoch + 1, stop * batch)
            tick(epoch + 1, stop * batch)
    shutil.rmtree(scratch, ignore_errors=True)
    return run.rows


@dataclass
class Training:
    """One run on one device: what its steps and epochs do."""

    pretext: Pretext
    forward: Any  # the pretext, or what DDP or the compiler made of it
    players: list[nn.Module]
    optimizers: list[torch.optim.Optimizer]
    where: torch.device
    clip: float
    amp: bool
    seed: int
    health: int
    run: Run
    label: str
    groups: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        self.pretext.train()

    def step(self, batch: Batch, steps: int, warmup: float) -> None:
        torch.manual_seed(number(self.seed, 2, self.run.step))
        for group in self.groups:
            group["lr"] = group["base"] * schedule(self.run.step, steps, warmup)
        for player in range(len(self.players)):
            self._turn(player, batch)
        self.run.step += 1
        self.run.counted += 1
        self.pretext.after_step(self.run.step / steps)

    def _turn(self, player: int, batch: Batch) -> None:
        """One player's step: gradients of all zeroed, the others frozen, so no loss leaks into another's weights."""
        self.pretext.zero_grad(set_to_none=True)
        if len(self.players) > 1:
            for other, module in enumerate(self.players):
                module.requires_grad_(other == player)
        with torch.autocast(self.where.type, torch.bfloat16, enabled=self.amp):
            found = self.forward(batch, player)
        found["loss"].backward()
        optimizer = self.optimizers[player]
        if self.clip:
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], self.clip)
        optimizer.step()
        for name, value in found.items():
            key = name if player == 0 else f"player{player}.{name}"
            value = value.detach().float()
            self.run.sums[key] = self.run.sums[key] + value if key in self.run.sums else value

    def begin_epoch(self, epoch: int) -> None:
        torch.manual_seed(number(self.seed, 3, epoch))
        for parameter in self.pretext.before_epoch(self.encode):
            for optimizer in self.optimizers:
                forget(optimizer, parameter)

    def end_epoch(self, epoch: int, samples: int) -> Row:
        """Close the epoch: means of what was logged, then spread and rank of the vectors of some fixed samples."""
        run, count = self.run, len(self.pretext.corpus)
        row: Row = {"epoch": epoch, "step": run.step, "samples": samples}
        row |= {name: float(value) / run.counted for name, value in run.sums.items()}
        vectors = self.encode(np.linspace(0, count - 1, min(self.health, count)).astype(np.int64))
        row |= {"std": spread(vectors), "rank": effective_rank(vectors)}
        if samples and not distributed.rank():
            alarm(self.label, row, vectors.shape[1])
        run.rows.append(row)
        run.sums, run.counted = {}, 0
        return row

    def encode(self, index: Index) -> Tensor:
        """Features of samples without augmentation, in evaluation mode: (n, D) float32."""
        parts = embedded(self.pretext.encoder, self.pretext.corpus, index, self.where)
        return torch.cat([vectors for _, vectors in parts])


def schedule(k: int, steps: int, warmup: float) -> float:
    """The share of the learning rate at step k: linear warm-up, then half a cosine down to zero."""
    rising = warmup * steps
    if k < rising:
        return (k + 1) / max(rising, 1.0)
    return 0.5 * (1 + math.cos(math.pi * (k - rising) / max(steps - rising, 1.0)))


def number(*key: int) -> int:
    """A torch seed that is a pure function of some whole numbers."""
    return int(np.random.default_rng(key).integers(2**62))


def each(value: Any, player: int) -> Any:
    """One value for all players, or a list with one each."""
    if not isinstance(value, list):
        return value
    if player >= len(value):
        raise ValueError(
            f"train has {len(value)} values ({value}), none for player {player + 1}; give one a player"
        )
    return value[player]


def place(device: str) -> torch.device:
    """`auto` is this rank's GPU where there is one, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


@contextmanager
def ranks(device: str) -> Iterator[int]:
    """Joins the other processes where torchrun started this one; gives this process's rank."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield distributed.rank()
        return
    dist.init_process_group("nccl" if place(device).type == "cuda" else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def parallel(pretext: Pretext, players: int, where: torch.device) -> nn.Module:
    """The module that the loop calls: the pretext, or DDP around it with batch norm over all ranks."""
    if distributed.world() == 1:
        return pretext
    gpu = where.type == "cuda"
    if gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(pretext)  # type: ignore[no-untyped-call]
    else:
        distributed.synchronised(pretext)
    devices = [where.index] if gpu else None
    return nn.parallel.DistributedDataParallel(pretext, devices, find_unused_parameters=players > 1)


def alarm(label: str, row: Row, dim: int) -> None:
    """Name a collapse while it happens: healthy vectors spread by about 1/sqrt(D) over many dimensions."""
    if row["std"] < 0.1 / math.sqrt(dim) or row["rank"] < min(5, dim / 2):
        print(
            f"{label}: collapsing at {row['samples']:,} samples: std {row['std']:.4f}, rank {row['rank']:.1f}"
        )


def watch(run: Run, label: str, lr: float) -> str:
    """What the progress bar says. Raises ValueError once the loss is no number."""
    loss = float(run.sums["loss"]) / run.counted
    if not math.isfinite(loss):
        raise ValueError(
            f"{label}: the loss is {loss} at step {run.step}; lower train.lr ({lr}) or set train.clip"
        )
    return f"loss {loss:.4f}"
