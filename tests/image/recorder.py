"""The training loop as the stage of transfers binds it, keeping what it trained: a fixture for tests of dense tasks."""

from pathlib import Path
from typing import Any

import pytest

from stages import loop
from tests.conftest import train_keys


class Recorder:
    def __init__(self, scratch: Path) -> None:
        self.scratch, self.tasks = scratch, list[Any]()

    def __call__(self, task: Any, *, label: str, **changes: Any) -> None:
        self.tasks.append(task)
        loop.fit(task, seed=0, scratch=self.scratch / label, label=label, **(train_keys() | changes))


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.chdir(tmp_path)
    return Recorder(tmp_path)
