"""Progress: ten plain lines where there is no terminal, a bar where there is one."""

import io

import pytest

from modalities.common.progress import track


def test_plain_lines_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with track(1000, "files", "ingest") as progress:
        for k in range(1000):
            progress.advance(1, f"loss {k}")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("ingest: 100/1,000 files, ") and lines[0].endswith("s left, loss 99")
    assert lines[-1].startswith("ingest: 1,000/1,000 files, ") and " files/s, 0 s left" in lines[-1]


def test_steps_larger_than_a_tenth_and_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with track(2, "files", "a") as progress:
        progress.advance(2)
    with track(0, "files", "b") as progress:
        progress.advance(0)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["a: 2/2 files"]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with track(4, "files", "ingest") as progress:
        progress.advance(4, "[loss] 0.5")
    assert (
        "4/4" in terminal.getvalue()
        and "[loss] 0.5" in terminal.getvalue()
        and "files/s" in terminal.getvalue()
    )
