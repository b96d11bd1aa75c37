"""Run a command whose stages need not start from nothing: `python -m stages.warm dvc repro`.

Importing torch takes a stage two seconds, transformers four more, and a graph has a hundred stages. Here one process
imports the libraries, and no code of this project, and forks whenever `python -m stages` asks for a stage. The fork
gets the asking process's words, folder, environment and streams; the asking process gets its exit status, and takes it
along when it is killed. Nothing but time depends on this: where that process is not ready yet, or gone, or the system
is not Linux, a stage starts by itself.
"""

import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.context import ForkProcess as Fork
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "GROUNDWORK_WARM"  # where the socket is
LIBRARIES = (
    "torch", "torch._dynamo", "numba", "cv2", "scipy.optimize", "sklearn.linear_model", "pyarrow.parquet",
    "safetensors.torch", "pydantic", "ruamel.yaml", "rich.progress", "tokenizers",
    "transformers.models.bert.modeling_bert",
)  # fmt: skip
PAUSE = 0.05  # seconds between two looks for forks that have ended


def run(command: Sequence[str]) -> int:
    """Run a command beside a process that keeps the libraries; return its exit status."""
    if sys.platform != "linux":
        return subprocess.call(command)
    signal.signal(signal.SIGINT, _wait)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of `finally`
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        path = str(Path(folder) / "socket")
        keeper = subprocess.Popen([sys.executable, "-m", "stages.warm", "--keep", path])
        try:
            return subprocess.call(command, env=os.environ | {VARIABLE: path})
        finally:
            keeper.kill()
            keeper.wait()


def _wait(number: int, frame: FrameType | None) -> None:
    """Ctrl-C reaches everybody at a terminal: what was started ends by itself, and says how."""


def ask(module: str, words: Sequence[str]) -> int | None:
    """Have a module run with these words in a fork; return its exit status. None: nobody keeps the libraries."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(os.environ[VARIABLE])
            socket.send_fds(asking, [b"."], [0, 1, 2])
        except (KeyError, OSError):
            return None
        signal.signal(signal.SIGINT, _wait)
        told = {
            "module": module,
            "words": list(words),
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        asking.sendall(json.dumps(told).encode() + b"\n")
        status = asking.recv(16)
    if not status:
        print(f"groundwork: the process that ran {module} is gone; run it again", file=sys.stderr)
    return int(status or b"1")


def keep(path: str, libraries: Sequence[str]) -> None:
    """Import libraries and fork for whoever asks at `path`, until the parent is gone."""
    parent = os.getppid()
    for name in libraries:
        with suppress(ImportError):  # the stage that needs it will say so
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork then leaves what the libraries made where it is, shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forks: list[tuple[Fork, socket.socket]] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen()
        listening.settimeout(PAUSE)
        Path(f"{path}.new").rename(path)  # whoever finds it is answered at once
        while os.getppid() == parent:
            forks = [each for each in forks if not answered(*each)]
            with suppress(TimeoutError):
                asking, _ = listening.accept()
                fork = multiprocessing.get_context("fork").Process(target=become, args=(asking,))
                fork.start()
                forks.append((fork, asking))


def answered(fork: Fork, asking: socket.socket) -> bool:
    """Tell the asker how its fork ended, where it has: the exit code, or 128 and the number of the signal."""
    code = fork.exitcode
    if code is None:
        return False
    with asking, suppress(OSError):  # it may be gone
        asking.sendall(str(code if code >= 0 else 128 - code).encode())
    return True


def become(asking: socket.socket) -> None:
    """In a fork: take the asker's streams, folder and environment, and run the module that it wants."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asking.settimeout(None)
    _, streams, _, _ = socket.recv_fds(asking, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with asking.makefile() as lines:
        told: dict[str, Any] = json.loads(lines.readline())
    _end_with(asking)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    for each in (sys.stdout, sys.stderr):
        each.reconfigure(line_buffering=each.isatty())  # type: ignore[union-attr]
    sys.path[0] = told["folder"]
    sys.argv = [told["module"], *told["words"]]
    runpy.run_module(told["module"], run_name="__main__", alter_sys=True)


def _end_with(asking: socket.socket) -> None:
    """Have the kernel end this process once the asker is gone: it sends SIGIO, whose default is to end."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(asking, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(asking, fcntl.F_SETFL, fcntl.fcntl(asking, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([asking], [], [], 0)[0]:  # it went before that
        os.kill(os.getpid(), signal.SIGIO)


def main(words: list[str]) -> None:
    if not words:
        print("usage: python -m stages.warm COMMAND [WORD ...]", file=sys.stderr)
        sys.exit(2)
    if words[0] != "--keep":
        sys.exit(run(words))
    keep(words[1], LIBRARIES)


if __name__ == "__main__":
    main(sys.argv[1:])
