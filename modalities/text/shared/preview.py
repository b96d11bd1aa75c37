"""Previews of text tasks: lines of marked words, which the report colours.

A line is a list of [text, mark] pairs, mark one of "", "hidden", "asked", "right", "wrong", "written", "dim".
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from modalities.base import Index
from modalities.text.vocabulary import Vocabulary

Mark = Literal["", "hidden", "asked", "right", "wrong", "written", "dim"]
Line = list[tuple[str, Mark]]


def write(out: Path, lines: Sequence[Line]) -> None:
    """Write `out` with the ending .json in place of .png. Neighbours of one mark become one piece."""
    found = [[list(piece) for piece in merged(line)] for line in lines]
    out.with_suffix(".json").write_text(
        json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def merged(line: Line) -> Line:
    """The same line with neighbours of one mark joined by a space."""
    out: Line = []
    for text, mark in line:
        if out and out[-1][1] == mark:
            out[-1] = (f"{out[-1][0]} {text}", mark)
        else:
            out.append((text, mark))
    return out


def pieces(ids: Sequence[int] | Index, marks: Sequence[Mark], vocabulary: Vocabulary) -> Line:
    """One line of tokens with a mark each: pieces of one word and one mark are joined, pads are left out.

    Special tokens are spelled as the vocabulary spells them.
    """
    line: Line = []
    group: list[int] = []
    mark: Mark = ""

    def close() -> None:
        if group:
            text = " ".join(vocabulary.entries[k] for k in group) if group[0] < vocabulary.specials else ""
            line.append((text or vocabulary.decode(group).strip(), mark))
            group.clear()

    for token, own in zip((int(k) for k in ids), marks, strict=True):
        if token == vocabulary.pad:
            continue
        special = token < vocabulary.specials
        if group and (own != mark or special or group[-1] < vocabulary.specials):
            close()
        mark = own
        group.append(token)
    close()
    return line


def some(count: int, rng: np.random.Generator, most: int = 6) -> Index:
    """A few of `count` samples, in order."""
    return np.sort(rng.permutation(count)[:most]).astype(np.int64)
