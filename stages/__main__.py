"""Run a stage: `python -m stages pretrain image rotation 17` is `python -m stages.pretrain image rotation 17`.

But where warm.py keeps a process that has the libraries already, it runs there.
"""

import runpy
import sys
from pathlib import Path

from stages import warm


def main() -> None:
    have = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    if len(sys.argv) < 2 or sys.argv[1] not in have:
        print(
            "usage: python -m stages STAGE [WORD ...], such as: pretrain image rotation 17", file=sys.stderr
        )
        sys.exit(2)
    name, *words = sys.argv[1:]
    code = warm.ask(f"stages.{name}", words)
    if code is not None:
        sys.exit(code)
    sys.argv = [name, *words]
    runpy.run_module(f"stages.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
