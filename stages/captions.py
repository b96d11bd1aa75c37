"""What a method, probe or task says of itself: the first line of its file's docstring.

Read without importing the file, since that would load torch for a sentence.
"""

import ast
from pathlib import Path

import modalities


def caption(*path: str) -> tuple[str, str]:
    """(title, sentence) of `modalities/<path>.py`; (its name, "") where there is no such file or docstring.

    `Rotation: say which quarter turn an image was given.` -> ("Rotation", "say which quarter turn ...").
    """
    return split(modalities.HERE.joinpath(*path).with_suffix(".py"))


def split(file: Path) -> tuple[str, str]:
    line = ""
    if file.exists():
        line = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0].replace("\n", " ")
    title, colon, sentence = line.partition(": ")
    # A title is a name; a sentence that happens to hold a colon has none.
    if not colon or len(title.split()) > 4:
        return file.stem, line
    return title, sentence


def method(modality: str, name: str) -> tuple[str, str]:
    return caption(modality, "pretexts", name)


def task(modality: str, stage: str, name: str) -> str:
    """What a task of one stage asks: a probe is the same file for every modality, a transfer is not."""
    name = name.partition(" (")[0]  # "linear (reviews)" is `linear` on another set
    return (caption("probes", name) if stage == "probe" else caption(modality, "transfers", name))[1]
