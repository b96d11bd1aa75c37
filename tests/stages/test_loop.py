"""The loop: schedule, players, optimizers, reading ahead, resume after a real kill, DDP under torchrun."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modalities.base import Batch, Encode, Encoder, Index, Pretext
from stages import loop, optimizers, reading
from tests.conftest import ROOT, train_keys


class Line(Encoder):
    """One linear layer on vectors of four."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.spec = 4, {"class": "Line"}
        self.layer = nn.Linear(4, 4)

    def read(self, corpus: Tensor, index: Index) -> Tensor:
        return corpus[index]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class Duel(Pretext):
    """A generator that chases a critic's approval: the loop must keep their gradients apart."""

    def __init__(self, corpus: Tensor) -> None:
        torch.manual_seed(1)
        super().__init__(Line(), corpus, Path())
        self.critic = nn.Linear(4, 1)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(len(corpus)))
        self.epochs: list[int] = []
        self.progress: list[float] = []
        self.leaks: list[str] = []

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        noise = torch.from_numpy(rng.normal(size=(len(index), 4))).float()
        return {"x": self.corpus[index] + 0.1 * noise, "index": torch.from_numpy(index)}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        self.seen.index_add_(0, batch["index"], torch.full((len(batch["x"]),), 0.5))
        others = self.critic if player == 0 else self.encoder
        self.leaks += [n for n, p in others.named_parameters() if p.requires_grad]
        self.leaks += [n for n, p in self.named_parameters() if p.grad is not None]
        score = self.critic(self.encoder(batch["x"])) + 0.01 * torch.randn(1)
        return {"loss": (score.square() if player == 0 else (score - 1).square()).mean()}

    def players(self) -> list[nn.Module]:
        return [self.encoder, self.critic]

    def before_epoch(self, encode: Encode) -> list[nn.Parameter]:
        self.epochs.append(int(encode(np.arange(len(self.corpus))).shape[0]))
        return list(self.critic.parameters())[:1] if len(self.epochs) == 2 else []

    def after_step(self, progress: float) -> None:
        self.progress.append(progress)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def duel(tmp_path: Path, **changes: Any) -> tuple[Duel, list[dict[str, float]]]:
    pretext = Duel(torch.randn(40, 4, generator=torch.Generator().manual_seed(0)))
    keys = train_keys(**({"samples": 100, "batch": 10, "channels_last": False} | changes))
    return pretext, loop.fit(pretext, seed=7, scratch=tmp_path / "scratch", label="duel", **keys)


def test_players_never_see_each_others_gradients(tmp_path: Path) -> None:
    pretext, rows = duel(tmp_path, lr=[1e-2, 1e-3], optimizer=["adam", "sgd"])
    assert pretext.leaks == []
    assert {"loss", "player1.loss", "std", "rank"} <= rows[-1].keys()


def test_epochs_steps_and_samples_are_what_the_budget_says(tmp_path: Path) -> None:
    pretext, rows = duel(tmp_path)
    assert [row["samples"] for row in rows] == [40, 80, 100]  # a last, short epoch
    assert pretext.epochs == [40, 40, 40]
    assert pretext.progress == pytest.approx(np.arange(1, 11) / 10)
    assert pretext.seen.sum() == 100
    assert pretext.seen[:40].max() - pretext.seen.min() <= 1  # without replacement within an epoch


def test_reading_ahead_changes_nothing(tmp_path: Path) -> None:
    inline, rows = duel(tmp_path)
    ahead, rows_ahead = duel(tmp_path, read_ahead=3)
    assert rows == rows_ahead
    assert all(torch.equal(v, ahead.state_dict()[k]) for k, v in inline.state_dict().items())


def test_what_a_reading_thread_raises_is_raised_in_the_step() -> None:
    def broken() -> Any:
        yield {"x": torch.zeros(1)}
        raise OSError("disk gone")

    items = reading.ahead(broken(), 2)
    next(items)
    with pytest.raises(OSError, match="disk gone"):
        next(items)


def test_every_epoch_is_a_permutation_and_a_pure_function_of_the_seed() -> None:
    steps = [reading.order(3, k, 25, 8) for k in range(6)]
    first, second = np.concatenate(steps[:3]), np.concatenate(steps[3:])
    assert len(set(first)) == len(set(second)) == 24 and not np.array_equal(first, second)
    assert np.array_equal(steps[4], reading.order(3, 4, 25, 8))
    assert not np.array_equal(steps[4], reading.order(4, 4, 25, 8))


def test_the_schedule_warms_up_and_ends_at_nothing() -> None:
    rates = [loop.schedule(k, 100, 0.1) for k in range(101)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10] == 1 and rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0)
    assert loop.schedule(0, 100, 0.0) == 1


def test_only_matrices_decay_and_a_scaled_parameter_has_its_own_rate() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    setattr(next(net.parameters()), "lr_scale", 10.0)  # noqa: B010
    found = {
        tuple(sorted(p.ndim for p in g["params"])): (g["lr"], g["weight_decay"])
        for g in optimizers.groups(net, 0.1, 0.5)
    }
    assert found == {(2,): (1.0, 0.5), (1, 1, 1): (0.1, 0.0)}


def test_lars_equals_the_papers_update_by_hand() -> None:
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
    w, b = weight.detach().clone().double(), bias.detach().clone().double()
    lars = optimizers.LARS(
        [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}], 0.5, 0.9, 0.1
    )
    vw, vb = torch.zeros_like(w), torch.zeros_like(b)
    for _ in range(3):
        weight.grad, bias.grad = torch.randn(3, 4), torch.randn(3)
        g = weight.grad.double() + 0.1 * w
        vw = 0.9 * vw + 1e-3 * w.norm() / g.norm() * g
        vb = 0.9 * vb + bias.grad.double()
        w, b = w - 0.5 * vw, b - 0.5 * vb
        lars.step()
    torch.testing.assert_close(weight.detach().double(), w, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bias.detach().double(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars"])
def test_every_optimizer_lowers_a_bowl(name: Any) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 1, bias=False)
    made = optimizers.make(
        name, net, lr=5.0 if name == "lars" else 0.05, weight_decay=0.0, momentum=0.9, betas=[0.9, 0.99]
    )
    x = torch.randn(64, 4)
    losses = []
    for _ in range(60):
        net.zero_grad()
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_clipping_bounds_what_a_step_moves(tmp_path: Path) -> None:
    once = {"optimizer": "sgd", "lr": 1.0, "samples": 10, "warmup": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    free, _ = duel(tmp_path, **once)
    tight, _ = duel(tmp_path, **once, clip=1e-3)
    start = Duel(torch.zeros(1, 4)).state_dict()

    def moved(pretext: Duel) -> float:
        return math.sqrt(
            sum(float((p - start[n]).square().sum()) for n, p in pretext.encoder.named_parameters("encoder"))
        )

    assert moved(tight) < 1.01e-3 < moved(free)


def test_bfloat16_autocast_trains(tmp_path: Path) -> None:
    _, rows = duel(tmp_path, amp=True)
    assert math.isfinite(rows[-1]["loss"])


def test_a_loss_that_is_no_number_stops_the_run_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"duel: the loss is (nan|inf) at step \d+; lower train\.lr"):
        duel(tmp_path, optimizer="sgd", lr=1e25, samples=400)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 64}, r"train\.batch is 64, but there are only 40 samples"),
        ({"lr": [1e-3]}, r"none for player 2; give one a player"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        duel(tmp_path, **changes)


PROGRAM = """
import os, sys, torch
from pathlib import Path
from stages import loop
from tests.conftest import make, pictures, train_keys
loop.CHECKPOINT_SECONDS = float(sys.argv[2])
folder = Path(sys.argv[1])
with loop.ranks("cpu") as rank:
    pretext = make("simclr", pictures(48, 20).only("train"), folder / f"built{rank}")
    keys = train_keys(samples=int(sys.argv[3]))
    rows = loop.fit(pretext, seed=3, scratch=folder / "scratch", label="toy", **keys)
    torch.save(pretext.state_dict(), folder / f"{rank}.pt")
"""


def command(folder: Path, seconds: float, samples: int, processes: int = 0) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    launch = [sys.executable]
    if processes:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launch, str(folder / "program.py"), str(folder), str(seconds), str(samples)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_a_run_ended_by_sigkill_and_started_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    samples = 1600
    subprocess.run(
        command(tmp_path / "whole", 1e9, samples), check=True, env=ENVIRONMENT, capture_output=True
    )
    cut = tmp_path / "cut"
    child = subprocess.Popen(command(cut, 0.0, samples), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not (cut / "scratch" / "last.pt").exists():
        assert child.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not (cut / "0.pt").exists()
    subprocess.run(command(cut, 1e9, samples), check=True, env=ENVIRONMENT, capture_output=True)
    whole, again = (torch.load(tmp_path / name / "0.pt", weights_only=True) for name in ("whole", "cut"))
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_two_processes_under_torchrun_end_with_the_same_weights(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "ddp", 1e9, 64, 2), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / "ddp" / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_a_run_resumes_in_bfloat16(tmp_path: Path) -> None:
    _, rows = duel(tmp_path, device="cuda", amp=True, read_ahead=2)
    assert math.isfinite(rows[-1]["loss"])
