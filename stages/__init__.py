"""WHICH: one thin command a stage of DVC's.

`python` and `dvc` are often those of another environment, where nothing that is needed can be imported: then one line
says which Python it was, before the first import fails.
"""

import sys
from importlib.util import find_spec

if find_spec("ruamel") is None:
    sys.exit(
        f"groundwork: {sys.executable} lacks the project's libraries; run `make`, then `. .venv/bin/activate`"
    )
