"""Every benchmark, one after the other, and their table in docs/performance.md: `make bench`.

`python -m benchmarks [pictures=FOLDER] [clips=FOLDER_OR_ZIP] [text=FILE] [ROW ...]`. Without a folder of labelled JPEG
pictures (train/ and test/), of clips, or a file of text, the rows that need one are left out and said so. ROWs are
names of scripts here: those alone are run, and only their lines of the table change. `steps` takes the corpora of the
last `make`. Beside the table stands its raw form, benchmarks' JSON lines, in artifacts/bench/.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

PAGE, RAW = Path("docs/performance.md"), Path("artifacts/bench")
BEGIN, END = "<!-- bench: written by `make bench` -->\n", "<!-- /bench -->\n"
# Which of the sources each needs; ingest takes pictures where they are named, and makes some where not.
SCRIPTS: dict[str, str | None] = {
    "augment": None,
    "tiles": None,
    "ingest": None,
    "growth": None,
    "steps": None,
    "video_input": "clips",
    "text_input": "text",
    "quality_vs_lightly": "pictures",
}


def run(name: str, source: str | None) -> str | None:
    """Run one script, and keep its lines; what it says else goes to the terminal. None: it failed."""
    print(f"benchmarks.{name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *([source] if source else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith("{"):
                lines.append(line)
    return None if process.returncode else "".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a line a row: medians with the least and most of all rounds."""

    def shown(rates: dict[str, float]) -> str:
        return f"{rates['median']:,g} ({rates['min']:,g}–{rates['max']:,g})"

    head = ["what", "unit", "ours", "against", "theirs", "ratio", "asked"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        asked = f"{row['asked']:.3g}" if "asked" in row else ""
        sides = [shown(row["ours"]), row["against"], shown(row["peer"])]
        lines.append([row["row"], row["unit"], *sides, f"{row['ratio']:g}", asked])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def about() -> str:
    """Where and with what the figures were found."""
    names = ("torch", "torchvision", "numba", "lightly", "decord", "transformers")
    here = {each.name for each in distributions()}
    versions = ", ".join(f"{name} {version(name)}" for name in names if name in here)
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}."


def write(page: Path, raw: Path) -> None:
    """Put the table of all the lines in `raw` between the marks of the page."""
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    rows = []
    for name in SCRIPTS:
        if (file := raw / f"{name}.jsonl").exists():
            rows += [found for found in map(json.loads, file.read_text().splitlines()) if "row" in found]
    page.write_text(
        f"{before}{BEGIN}\n{date.today()}, `make bench`. {about()}\n\n{table(rows)}\n{END}{after}"
    )


def main(asked: list[str]) -> int:
    sources = dict(word.split("=", 1) for word in asked if "=" in word)
    names = [word for word in asked if "=" not in word] or list(SCRIPTS)
    if wrong := (set(names) - set(SCRIPTS)) | (set(sources) - {"pictures", "clips", "text"}):
        print(
            f"groundwork: no benchmark or source {', '.join(sorted(wrong))}; there are {', '.join(SCRIPTS)}",
            file=sys.stderr,
        )
        return 2
    RAW.mkdir(parents=True, exist_ok=True)
    status = 0
    for name in names:
        need = SCRIPTS[name]
        if need and need not in sources:
            print(f"groundwork: {name} needs {need}=..., and is left out", file=sys.stderr)
            continue
        lines = run(name, sources.get("pictures" if name == "ingest" else need or ""))
        if lines is None:
            print(f"groundwork: benchmarks.{name} failed", file=sys.stderr)
            status = 1
        else:
            (RAW / f"{name}.jsonl").write_text(lines)
    write(PAGE, RAW)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
