"""What the report shows of a method beside numbers: pictures, and text with marks, that stages have left as files.

Text is a .json file, a list of lines; a line is a list of [text, mark], and a mark says what became of the text.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages import captions, store
from stages.results import Run

# What a mark means, as the page's legend says it. The page gives each a look of its own (templates/style.css).
MARKS = {
    "": "",
    "hidden": "hidden from the network",
    "asked": "asked of it",
    "right": "answered right",
    "wrong": "answered wrong",
    "written": "written by it",
    "dim": "explanation",
}


@dataclass(frozen=True)
class Shown:
    """One method's task, or what it made of one, with the sentence its file opens with."""

    method: str
    title: str
    sentence: str
    image: str = ""  # a data: URL
    lines: Sequence[Sequence[tuple[str, str]]] = ()  # (text, mark)

    @property
    def legend(self) -> dict[str, str]:
        """The marks that occur, but for plain text and remarks, and what they mean."""
        used = {mark for line in self.lines for _, mark in line}
        return {mark: said for mark, said in MARKS.items() if mark in used and mark not in ("", "dim")}


def preview(modality: str, method: str) -> Shown:
    """What `build` left; neither picture nor text where it left nothing."""
    name, sentence = captions.method(modality, method)
    folder = store.built_path(modality, method)
    files = [file for end in (".png", ".json") if (file := folder / f"preview{end}").exists()]
    return read(files[0], method, name, sentence) if files else Shown(method, name, sentence)


def results(runs: Sequence[Run]) -> Iterator[tuple[str, list[Shown]]]:
    """(task, what each method made of it), of the first seed that counts of each method."""
    found: dict[str, list[Shown]] = {}
    done: set[str] = set()
    for run in runs:
        if run.method in done or run.problems or run.baseline:
            continue
        done.add(run.method)
        folder = store.shown_path(run.modality, run.method, run.seed)
        for file in sorted(p for p in folder.glob("*/*") if p.suffix in (".png", ".json")):
            title = run.method if file.stem == file.parent.name else f"{run.method}, {file.stem}"
            found.setdefault(file.parent.name, []).append(read(file, run.method, title, ""))
    yield from sorted(found.items())


def read(file: Path, method: str, title: str, sentence: str) -> Shown:
    """Raises ValueError for a .json that is not text with marks."""
    if file.suffix == ".png":
        image = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        return Shown(method, title, sentence, image=image)
    try:
        lines = [
            [(str(text), MARKS[mark] and mark) for text, mark in line]
            for line in json.loads(file.read_text())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{file} is not text with marks ({error!r}); delete it and run `dvc repro`"
        ) from None
    return Shown(method, title, sentence, lines=lines)
