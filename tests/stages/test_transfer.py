"""The transfer stage: its metrics, the settings a fit gets, and what is resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modalities.image.corpus import Images
from stages import loop, store, transfer
from tests.stages.project import SEED, corpus, job, lay_out, one_thread

__all__ = ["corpus", "one_thread"]  # fixtures


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the loop was given, fit by fit."""
    found: list[dict[str, Any]] = []
    fit = loop.fit

    def watch(pretext: Any, **settings: Any) -> Any:
        found.append(settings)
        return fit(pretext, **settings)

    watch.__signature__ = __import__("inspect").signature(fit)  # type: ignore[attr-defined]
    watch.__annotations__ = fit.__annotations__
    monkeypatch.setattr(loop, "fit", watch)
    return found


def test_it_tunes_with_the_real_loop_and_a_second_run_finds_the_same(corpus: Images) -> None:
    file = store.model_path("image", "rotation", SEED) / "encoder.safetensors"
    before = store.digest(file)
    found = transfer.transfer(job())
    assert list(found) == ["encoder", "fine_tune"]
    assert found["encoder"] == before == store.digest(file)
    names = {f"accuracy@{share}{end}" for share in ("10%", "50%") for end in ("", ".chance")}
    assert set(found["fine_tune"]) == names
    json.dumps(found, allow_nan=False)
    assert transfer.transfer(job()) == found
    assert not any(store.SCRATCH.glob("*/last.pt"))


def test_a_fit_gets_the_modalitys_settings_the_transfers_changes_and_a_scratch_of_its_own(
    corpus: Images, calls: list[dict[str, Any]]
) -> None:
    here = job()
    # What a method changes for its pretraining is no business of the tuning.
    here.params["train"] = here.params["train"] | {"warmup": 0.9, "clip": 3.0}
    transfer.transfer(here)
    assert [call["label"] for call in calls] == [
        "image rotation 17 fine_tune 10%",
        "image rotation 17 fine_tune 50%",
    ]
    for call in calls:
        assert (call["warmup"], call["clip"]) == (0.1, 0.0)
        assert (call["samples"], call["batch"], call["lr"], call["seed"]) == (16, 8, 1e-3, SEED)
    first = [call["scratch"] for call in calls]
    assert len(set(first)) == 2

    calls.clear()
    transfer.transfer(here)
    assert [call["scratch"] for call in calls] == first

    calls.clear()
    encoder = store.load_encoder(store.model_path("image", "rotation", SEED))
    with torch.no_grad():
        next(encoder.parameters()).mul_(1.5)
    store.save_encoder(encoder, store.model_path("image", "rotation", SEED), modality="image")
    transfer.transfer(here)
    assert not set(first) & {call["scratch"] for call in calls}


def test_without_transfers_there_is_only_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, transfers={})
    assert list(transfer.transfer(job())) == ["encoder"]


TUNE = {
    "fractions": [0.1], "draws": 1, "samples": 16, "batch": 8, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.0,
    "head_lr": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("transfers", "message"),
    [
        ({"finetune": {}}, 'no transfer of image "finetune"; have .*; did you mean fine_tune'),
        ({"fine_tune": TUNE | {"epochs": 3}}, r"unknown key image\.transfers\.fine_tune\.epochs"),
        ({"fine_tune": TUNE | {"lr": "fast"}}, r"image\.transfers\.fine_tune\.lr is 'fast'"),
        ({"fine_tune": TUNE | {"optimizer": "lion"}}, r"image\.transfers\.fine_tune\.optimizer is 'lion'"),
    ],
)
def test_a_wrong_block_fails_before_any_training(
    transfers: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: list[dict[str, Any]],
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, transfers=transfers)
    with pytest.raises(ValueError, match=message):
        transfer.transfer(job())
    assert not calls
