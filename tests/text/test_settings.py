"""Blocks of params.yaml and the functions they are for have the same keys."""

import pytest

import modalities
from stages import cli
from tests.conftest import params


@pytest.mark.parametrize("name", params()["text"]["transfers"])
def test_settings_of_a_task_are_its_keywords(name: str) -> None:
    block = params()["text"]["transfers"][name]
    cli.check(modalities.transfer("text", name), block, f"text.transfers.{name}", ("seed",))


@pytest.mark.parametrize("name", params()["text"]["baselines"])
def test_settings_of_a_baseline_are_its_keywords(name: str) -> None:
    block = params()["text"]["baselines"][name]
    cli.check(modalities.baseline("text", name), block, f"text.baselines.{name}", ("seed",))
