"""One text as several documents: at blank lines, at headings of WikiText, and where it would be too long."""

import re
from collections.abc import Iterator

HEADING = re.compile(r"^ ?= ([^=\n]+) = ?$", re.M)  # of an article; its sections have "= =" or "=="


def parts(text: str, blank_lines: int, most_words: int) -> Iterator[tuple[str, str]]:
    """(title, text) of each document. `blank_lines` in a row part two (0: none do); `most_words` 0 cuts nothing."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for title, article in _articles(text):
        pieces = re.split(rf"\n(?:[ \t]*\n){{{blank_lines},}}", article) if blank_lines else [article]
        for piece in pieces:
            for short in shorter(piece, most_words):
                yield title, short


def _articles(text: str) -> Iterator[tuple[str, str]]:
    heads = list(HEADING.finditer(text))
    if len(heads) < 2:
        yield "", text
        return
    if text[: heads[0].start()].strip():
        yield "", text[: heads[0].start()]
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        yield head[1].strip(), text[head.end() : following.start() if following else len(text)]


def shorter(text: str, most_words: int) -> Iterator[str]:
    """The text, or pieces of about `most_words` words that end where a paragraph does, or a line of a long paragraph.

    A longer line stays whole.
    """
    if not most_words or text.count(" ") + text.count("\n") < most_words:
        yield text
        return
    piece: list[str] = []
    words = 0
    for paragraph in re.split(
        r"(\n[ \t]*\n\s*)", text
    ):  # the blank lines between stay, as items of their own
        long = len(paragraph.split()) > most_words
        for line in paragraph.splitlines(keepends=True) if long else [paragraph]:
            count = len(line.split())
            if words and words + count > most_words:
                yield "".join(piece)
                piece, words = [], 0
            piece.append(line)
            words += count
    if words:
        yield "".join(piece)
