"""The refresh flow, with a stub in DVC's place: what it passes on, publishes, refuses and leaves behind."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import refresh
from stages import cli
from tests.ranks import free_port

ROOT = Path(__file__).resolve().parents[2]

STUB = """#!/bin/sh
echo "$*" >> calls
echo "stub: dvc $*"
echo "stub: on stderr" >&2
case "$*" in
*bad) echo "ERROR: rotation failed"; exit 1 ;;
*slow) sleep 300 & echo "sleeper $!"; wait ;;
*stubborn) trap "" TERM; sleep 300 & echo "sleeper $!"; wait; wait ;;
esac
mkdir -p artifacts/report
printf 'method,knn\\nrotation,0.5\\n' > artifacts/report/leaderboard.csv
echo '| rotation | 0.5 |' > artifacts/report/leaderboard.md
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings of this project, no pause between retries, and the stub first on PATH."""
    text = (ROOT / "params.yaml").read_text()
    settings = cli.load(ROOT / "params.yaml")["schedule"]
    text = text.replace(f"retries: {settings['retries']}", "retries: 1")
    (tmp_path / "params.yaml").write_text(
        text.replace(f"retry_delay: {settings['retry_delay']}", "retry_delay: 0")
    )
    stub = tmp_path / "bin" / "dvc"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    path = os.pathsep.join((str(stub.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def alive(process: int) -> bool:
    """Whether it runs; one that ended but was not waited for by whoever adopted it does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def gone(process: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(process)


def calls(project: Path) -> list[str]:
    return (project / "calls").read_text().splitlines() if (project / "calls").exists() else []


def test_lines_of_both_streams_are_passed_on_as_they_come_with_the_status(project: Path) -> None:
    lines: list[str] = []
    with refresh.single_flight() as lock:
        assert refresh.run(["dvc", "repro", "bad"], lines.append, lock.fileno()) == 1
        assert lines == ["stub: dvc repro bad", "stub: on stderr", "ERROR: rotation failed"]
        assert refresh.run(["dvc", "repro"], lines.append, lock.fileno()) == 0


def test_the_python_of_this_environment_is_found_where_none_is_activated(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    lines: list[str] = []
    with refresh.single_flight() as lock:
        refresh.run(["python", "-c", "import sys; print(sys.prefix)"], lines.append, lock.fileno())
    assert lines == [sys.prefix]


@pytest.mark.parametrize("kind", ["slow", "stubborn"])
def test_an_interrupt_leaves_nothing_of_the_process_group(
    project: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "GRACE", 0.5)
    found: list[int] = []

    def interrupt(line: str) -> None:
        if line.startswith("sleeper"):
            found.append(int(line.split()[1]))
            assert alive(found[0])
            raise KeyboardInterrupt

    with refresh.single_flight() as lock, pytest.raises(KeyboardInterrupt):
        refresh.run(["dvc", "repro", kind], interrupt, lock.fileno())
    assert gone(found[0])


def test_a_second_run_is_refused_in_one_line_until_the_first_lets_go(project: Path) -> None:
    with refresh.single_flight(), pytest.raises(BlockingIOError) as error:
        refresh.single_flight()
    assert f"another run (process {os.getpid()}) holds" in str(error.value)
    refresh.single_flight().close()


def test_kill_9_of_the_flow_alone_keeps_the_lock_until_dvc_has_ended(project: Path) -> None:
    program = (
        "from pipelines import refresh\n"
        "lock = refresh.single_flight()\n"
        "refresh.run(['dvc', 'repro', 'slow'], lambda line: print(line, flush=True), lock.fileno())\n"
    )
    flow = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert flow.stdout is not None
    sleeper = next(int(line.split()[1]) for line in flow.stdout if line.startswith("sleeper"))
    flow.kill()
    flow.wait()
    flow.stdout.close()
    with pytest.raises(BlockingIOError, match=f"process {flow.pid}"):
        refresh.single_flight()
    os.killpg(os.getpgid(sleeper), signal.SIGKILL)
    assert gone(sleeper)
    refresh.single_flight().close()


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    """One temporary server with an empty database for all flows of this file."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What tasks say to their runs' log."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("prefect.task_runs")
    handler = Keep()
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def published(key: str) -> Any:
    from prefect.artifacts import Artifact

    found = Artifact.get(key)
    return found.data if found else None  # type: ignore[union-attr]


def test_a_method_that_fails_is_tried_again_then_the_partial_report_is_published_and_the_run_failed(
    prefect: None, project: Path, log: list[str]
) -> None:
    state = refresh.refresh(["bad"], return_state=True)
    assert state.is_failed()
    assert "ERROR: rotation failed" in (state.message or "")
    assert "what the others made is published" in (state.message or "")
    assert calls(project) == ["repro --keep-going bad"] * 2 + ["repro -s report"]
    assert json.loads(published("leaderboard")) == [{"method": "rotation", "knn": "0.5"}]
    assert {"stub: on stderr", "stub: dvc repro -s report"} <= set(log)


def test_a_whole_refresh_publishes_the_leaderboard(prefect: None, project: Path, log: list[str]) -> None:
    state = refresh.refresh(return_state=True)
    assert state.is_completed()
    assert calls(project) == ["repro --keep-going"]
    assert published("leaderboard-text") == "| rotation | 0.5 |\n"
    assert "stub: dvc repro --keep-going" in log


def test_wrong_settings_end_the_run_before_dvc(prefect: None, project: Path, log: list[str]) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("build_seed:", "bild_seed:"))
    state = refresh.refresh(return_state=True)
    assert state.is_failed() and not calls(project)
    assert "params.yaml: unknown key bild_seed; did you mean build_seed?" in log


def test_a_run_beside_another_is_cancelled_and_does_nothing(
    prefect: None, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with refresh.single_flight(), pytest.raises(SystemExit) as error:
        refresh.main([])
    assert error.value.code == 1 and not calls(project)
    assert "groundwork: another run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_served_flow_has_the_cron_line_runs_and_is_cancelled_whole(project: Path) -> None:
    """`make serve` on a free port: its deployment, a run that is cancelled halfway, and a clean end."""
    import socket
    import urllib.request

    port = free_port()

    def ask(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/{path}",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    served = subprocess.Popen(
        [sys.executable, "-u", "-m", "pipelines.serve", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    too_long = threading.Timer(240, served.kill)  # ends the lines that the test waits for, and so the test
    too_long.start()
    try:
        assert served.stdout is not None
        next(line for line in served.stdout if "is being served" in line)
        deployment = ask("deployments/filter", {})[0]
        schedule = cli.load()["schedule"]
        assert [each["schedule"]["cron"] for each in deployment["schedules"]] == [schedule["cron"]]
        made = ask(f"deployments/{deployment['id']}/create_flow_run", {"parameters": {"targets": ["slow"]}})
        sleeper = next(int(line.split()[-1]) for line in served.stdout if " sleeper " in line)
        assert alive(sleeper)
        ask(f"flow_runs/{made['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        assert gone(sleeper, 60)
    finally:
        too_long.cancel()
        served.terminate()
        served.communicate(timeout=60)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))  # nobody listens any more
    shutil.rmtree(project / ".prefect")
