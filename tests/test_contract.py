"""What every pretext found on disk promises, on a toy corpus. A new method needs no edit here."""

import json
import multiprocessing
import os
import signal
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import modalities
from modalities.base import Batch, Pretext
from modalities.common import distributed
from modalities.image.encoders import MEAN
from stages import checkpoint, loop, store
from tests.conftest import train_keys
from tests.ranks import two_ranks
from tests.toys import TOYS

ALL = [f"{modality} {method}" for modality in TOYS for method in modalities.names(modality, "pretexts")]
METHODS = [method for method in ALL if not method.endswith(" random")]  # random is not trained: its own test


def make(method: str, built: Path) -> Pretext:
    """A pretext of a toy corpus: "image rotation"."""
    modality, name = method.split()
    toy = TOYS[modality]
    return toy.make(name, toy.corpus().only("train"), built)


def fitted(method: str, folder: Path, seed: int = 3, **changes: Any) -> Pretext:
    pretext = make(method, folder / "built")
    keys = train_keys(method.split()[0], **changes)
    loop.fit(pretext, seed=seed, scratch=folder / "scratch", label=f"toy {method}", **keys)
    return pretext


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_a_finite_scalar_whose_gradient_reaches_the_encoder(method: str, tmp_path: Path) -> None:
    pretext = make(method, tmp_path)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    reached: set[str] = set()
    # Twice: the output vectors of word2vec start at zero, so its first step moves nothing else.
    for player in [*range(len(pretext.players()))] * 2:
        pretext.zero_grad()
        loss = pretext(batch, player)["loss"]
        assert loss.shape == () and torch.isfinite(loss)
        loss.backward()
        reached |= {n for n, p in pretext.encoder.named_parameters() if p.grad is not None and p.grad.any()}
        torch.optim.SGD(pretext.players()[player].parameters(), 1e-3).step()
    assert len(reached) > len(list(pretext.encoder.parameters())) // 2


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_over_twenty_steps_on_one_batch(method: str, tmp_path: Path) -> None:
    pretext = make(method, tmp_path)
    pretext.train()
    batch = pretext.batch(np.arange(16), np.random.default_rng(0))
    optimizers = [torch.optim.AdamW(player.parameters(), 2e-3) for player in pretext.players()]
    losses = []
    for _ in range(20):
        for player, optimizer in enumerate(optimizers):
            torch.manual_seed(0)
            pretext.zero_grad()
            loss = pretext(batch, player)["loss"]
            loss.backward()
            optimizer.step()
            if player == 0:
                losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < losses[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_depends_on_samples_and_generator_alone(method: str, tmp_path: Path) -> None:
    pretext = make(method, tmp_path)
    first = pretext.batch(np.arange(6), np.random.default_rng([1, 2]))
    second = pretext.batch(np.arange(6), np.random.default_rng([1, 2]))
    other = pretext.batch(np.arange(6), np.random.default_rng([1, 3]))
    assert all(torch.equal(first[name], second[name]) for name in first)
    if not method.startswith("text "):  # the next word is asked for without any draw
        assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("method", METHODS)
def test_players_are_not_empty_and_share_no_parameter(method: str, tmp_path: Path) -> None:
    pretext = make(method, tmp_path)
    owned = [{id(p) for p in player.parameters()} for player in pretext.players()]
    assert all(owned)
    assert sum(map(len, owned)) == len(set.union(*owned))


@pytest.mark.parametrize("method", METHODS)
def test_only_supervised_reads_labels(method: str, tmp_path: Path) -> None:
    pretext, relabelled = make(method, tmp_path / "a"), make(method, tmp_path / "b")
    relabelled.corpus.labels[:] = relabelled.corpus.labels[::-1].copy()
    index = np.arange(8)
    first, second = (p.batch(index, np.random.default_rng(0)) for p in (pretext, relabelled))
    same = all(torch.equal(first[name], second[name]) for name in first)
    assert same == (not method.endswith(" supervised"))


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_at_any_step_ends_in_the_same_bits(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(method, tmp_path / "whole")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every step
    kept = checkpoint.keep
    for kill in (1, 5, 10):  # one run, that dies three times

        def keep_and_die(*args: Any, kill: int = kill) -> None:
            kept(*args)
            if args[3].step >= kill:  # an epoch's last step is kept with the next
                raise Killed

        monkeypatch.setattr(loop, "keep", keep_and_die)
        with pytest.raises(Killed):
            fitted(method, tmp_path / "cut")
    monkeypatch.setattr(loop, "keep", kept)
    resumed = fitted(method, tmp_path / "cut")
    state = whole.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in resumed.state_dict().items())
    assert not (tmp_path / "cut" / "scratch").exists()


def run_and_die(method: str, folder: Path, kill: int) -> None:
    """In a process of its own: SIGKILL right after the optimizer's step `kill`, which no checkpoint has seen."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = -1.0  # after every step
    step = loop.Training.step

    def step_and_die(training: loop.Training, *args: Any) -> None:
        step(training, *args)
        if training.run.step == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(loop.Training, "step", step_and_die)  # noqa: B010
    fitted(method, folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_sigkill_at_three_random_steps_costs_not_a_bit(method: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    state = fitted(method, tmp_path / "whole").state_dict()
    steps = np.random.default_rng(list(method.encode())).choice(np.arange(1, 11), 3, replace=False)
    for kill in sorted(steps.tolist()):  # one after the other, in the same run
        child = multiprocessing.get_context("spawn").Process(
            target=run_and_die, args=(method, tmp_path / "cut", kill)
        )
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    resumed = fitted(method, tmp_path / "cut").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in resumed.items())


@pytest.mark.parametrize("method", ["image simclr", "image swav", "image rotation"])
def test_views_can_be_made_where_the_network_is(method: str, tmp_path: Path) -> None:
    pretext = fitted(method, tmp_path, augment="device")
    assert pretext.corpus.device == loop.place("auto")
    assert all(torch.isfinite(value).all() for value in pretext.state_dict().values())


def test_where_batches_are_made_on_the_cpu_alone_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.augment is device.*use kernel"):
        fitted("text masked_words", tmp_path, augment="device")


@pytest.mark.parametrize("method", METHODS)
def test_the_encoder_alone_reloaded_gives_the_same_vectors(method: str, tmp_path: Path) -> None:
    # channels_last, which training uses, sums in another order: both in the plain layout are the same bits.
    encoder = fitted(method, tmp_path, samples=16).encoder.eval().to(memory_format=torch.contiguous_format)
    modality, name = method.split()
    store.save_encoder(encoder, tmp_path / "saved", modality=modality, method=name, seed=0)
    again = store.load_encoder(tmp_path / "saved")
    samples = TOYS[modality].sample(encoder)
    assert torch.equal(encoder(samples), again(samples))
    assert json.loads((tmp_path / "saved" / "encoder.json").read_text())["dim"] == encoder.dim


def share(rank: int, batch: Batch, world: int) -> Batch:
    """This rank's samples. Where views come first, as in (V, N, ...), samples are the second axis."""
    return {name: x.chunk(world, dim=1 if name == "views" else 0)[rank] for name, x in batch.items()}


def gradients(method: str, folder: Path, rank: int, world: int) -> dict[str, Tensor]:
    """Loss, gradients and buffers after one player-by-player pass over a joined batch of eight."""
    os.environ["OMP_NUM_THREADS"] = "1"
    pretext = make(method, folder).train()
    batch = share(rank, pretext.batch(np.arange(8), np.random.default_rng(0)), world)
    module = loop.parallel(pretext, len(pretext.players()), torch.device("cpu"))
    found: dict[str, Tensor] = {}
    for player, mine in enumerate(pretext.players()):
        pretext.zero_grad()
        if len(pretext.players()) > 1:  # as the loop does
            for other, each in enumerate(pretext.players()):
                each.requires_grad_(other == player)
        torch.manual_seed(0)
        loss = module(batch, player)["loss"]
        loss.backward()
        found[f"loss{player}"] = distributed.total(loss.detach()) / world
        found |= {f"{player}.{n}": p.grad.clone() for n, p in mine.named_parameters() if p.grad is not None}
    return found | {name: value.clone() for name, value in pretext.named_buffers()}


def each_method(rank: int, folder: Path) -> None:
    """As one of two ranks. Each method leaves a file; one that fails leaves none, and the next has its turn."""
    for method in METHODS:
        try:
            torch.save(
                gradients(method, folder / f"{rank} {method}", rank, 2), folder / f"{method}.{rank}.pt"
            )
        except Exception:
            traceback.print_exc()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes found of every method: to start them and import all that they need costs most of the time."""
    folder = tmp_path_factory.mktemp("ranks")
    two_ranks(each_method, folder, seconds=600)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one_with_the_joined_batch(method: str, tmp_path: Path, of_two: Path) -> None:
    one = gradients(method, tmp_path / "one", 0, 1)
    for rank in (0, 1):
        two = torch.load(of_two / f"{method}.{rank}.pt", weights_only=True)
        assert two.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(
                two[name].float(), value.float(), rtol=2e-3, atol=2e-5, msg=f"{name} differs"
            )


@pytest.mark.parametrize("method", ALL)
def test_the_task_can_be_drawn(method: str, tmp_path: Path) -> None:
    pretext = make(method, tmp_path)
    pretext.preview(tmp_path / "preview.png", np.random.default_rng(0))
    modality, name = method.split()
    if name in ("random", "supervised"):
        return  # they ask nothing of the network that a picture could show
    assert TOYS[modality].drawn(tmp_path / "preview.png")


def test_normalisation_travels_with_the_encoder(tmp_path: Path) -> None:
    pretext = make("image rotation", tmp_path)
    assert torch.allclose(dict(pretext.encoder.named_buffers())["mean"], torch.tensor(MEAN))
