"""Refresh the leaderboard: `python -m pipelines.refresh [TARGET ...]`, or on a schedule with `make serve`.

Prefect says when, DVC says what: the flow checks the settings, runs `dvc repro`, passes on its lines, and publishes
the leaderboard. When a method fails the others go on, and what there is gets reported before the run is called failed.
"""

import csv
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.states import Cancelled, Failed

from stages import cli

LOCK = Path(".dvc/tmp/groundwork.lock")
REPORT = Path("artifacts/report")
GRACE = 10.0  # seconds between asking a process group to end and ending it


def single_flight() -> TextIO:
    """Hold this checkout: close what is returned to let go. Raises BlockingIOError while another run holds it.

    The kernel lets go by itself once every process that holds the file is gone. DVC is given it too, so that after a
    `kill -9` of the flow alone nobody races the stage that is still running.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = LOCK.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise BlockingIOError(
            f"another run (process {holder}) holds {LOCK}; wait for it to end, or end it"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def run(command: Sequence[str], say: Callable[[str], None], lock: int) -> int:
    """Run a command in a session of its own, pass its lines on as they come, and return its exit status.

    `lock` is the file descriptor of `single_flight`. However this ends, nothing of the process group outlives it.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PATH": _path(), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        pass_fds=[lock],
    )
    try:
        assert child.stdout is not None
        for line in child.stdout:
            say(line.rstrip())
        return child.wait()
    finally:
        _end(child)


def _path() -> str:
    """PATH with this interpreter's folder on it: stages run `python`, and it must be the one that has them."""
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    return path if here in path.split(os.pathsep) else os.pathsep.join((here, path))


def _end(child: "subprocess.Popen[str]") -> None:
    """Ask what is left of the process group to end, and end what has not after a while."""
    deadline = time.monotonic() + GRACE
    with suppress(ProcessLookupError, PermissionError):  # none is left; macOS says so with the second
        os.killpg(child.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            child.poll()  # a leader that nobody has waited for still counts as one of the group
            os.killpg(child.pid, 0)
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


@task(cache_policy=NO_CACHE)
def reproduce(command: list[str], lock: int) -> None:
    """Run one command, its lines in the run's log. Raises RuntimeError with its last line where it fails."""
    last = ""

    def say(line: str) -> None:
        nonlocal last
        get_run_logger().info(line)
        last = line.strip() or last

    status = run(command, say, lock)
    if status:
        raise RuntimeError(f"`{' '.join(command)}` ended with status {status}: {last}")


@task(cache_policy=NO_CACHE)
def publish() -> None:
    """The leaderboard as artifacts of this run: a table, and the text that the terminal shows."""
    with (REPORT / "leaderboard.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    create_table_artifact(
        rows, key="leaderboard", description=f"{REPORT / 'leaderboard.csv'}, as of this run"
    )
    create_markdown_artifact((REPORT / "leaderboard.md").read_text(), key="leaderboard-text")


@flow(name="refresh")
def refresh(targets: list[str] | None = None) -> State[Any] | None:
    """Reproduce everything, or some targets of DVC's, and publish the leaderboard.

    Ends as Cancelled, having done nothing, where another run holds the checkout; as Failed where a stage failed,
    once what the others made is published.
    """
    try:
        held = single_flight()
    except BlockingIOError as error:
        return Cancelled(message=str(error))
    with held:
        lock = held.fileno()
        reproduce.with_options(name="check")([sys.executable, "-m", "stages.check"], lock)
        schedule = cli.load()["schedule"]
        again = reproduce.with_options(
            retries=schedule["retries"], retry_delay_seconds=schedule["retry_delay"]
        )
        # Its stages fork from a process that has the libraries: each starts seconds sooner.
        warm = [sys.executable, "-m", "stages.warm"]
        tried = again([*warm, "dvc", "repro", "--keep-going", *(targets or [])], lock, return_state=True)
        if tried.is_completed():
            publish()
            return None
        # --keep-going skips all that depends on what failed, the report too: made alone, it takes what there is.
        alone = reproduce.with_options(name="report")
        partial = alone(["dvc", "repro", "-s", "report"], lock, return_state=True)
        if partial.is_completed():
            publish()
        end = "what the others made is published" if partial.is_completed() else "there is no report"
        return Failed(message=f"{tried.result(raise_on_failure=False)}; {end}")


def main(targets: list[str]) -> None:
    with cli.reporting():
        state: State[Any] = refresh(targets, return_state=True)
    if not state.is_completed():
        print(f"groundwork: {state.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
