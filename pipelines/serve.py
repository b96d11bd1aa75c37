"""Refresh on a schedule: `make serve`, or `python -m pipelines.serve [--port 4200]`.

Starts Prefect's server with its UI on the loopback address and serves the flow with the cron line of params.yaml.
Ctrl-C ends both.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages import cli

HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds for the server to answer


@contextmanager
def server(port: int) -> Iterator[str]:
    """Prefect's server while the block runs; yields the address of its UI. Its lines go to .prefect/server.log.

    Raises ValueError where the port is taken, and RuntimeError where the server does not come up.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ValueError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); try `make serve PORT=4201`"
            ) from None
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with log.open("w") as lines:
        # In a session of its own: Ctrl-C is for the flow alone, which still has to tell the server that it ends.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(process, f"http://{HOST}:{port}/api/health", log)
        yield f"http://{HOST}:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"Prefect's server did not come up; see {log}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.serve", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--port", type=int, default=4200)
    port = parser.parse_args(arguments).port
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # so that `finally` is reached
    with cli.reporting():
        cron = cli.block(cli.load(), "schedule", "cron")
        with server(port) as address:
            # Prefect settles where its server is as it is imported, so the flow comes after this.
            os.environ["PREFECT_API_URL"] = f"{address}/api"
            from pipelines.refresh import refresh

            print(
                f"{address}: the refresh runs at {cron} (minute hour day month weekday, UTC); Ctrl-C ends it"
            )
            print(f"now and then by hand: PREFECT_API_URL={address}/api python -m pipelines.refresh")
            refresh.serve(name="scheduled", cron=cron, paused=False, limit=1)


if __name__ == "__main__":
    main(sys.argv[1:])
