"""Why a file, a row or a document is not in the corpus: a closed list."""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    UNREADABLE = "unreadable"
    MISSING = "missing"
    TOO_LARGE = "too large"
    OUTSIDE = "path outside the source"
    BINARY = "binary"
    NUL = "NUL bytes"
    CONTROL = "control characters"
    ENCODING = "unknown encoding"
    REPLACED = "undecodable characters"
    FIELDS = "wrong number of fields"
    JSON = "not a JSON object"
    VALUE = "not a usable value"
    NO_TEXT = "no text"
    SHORT = "too few words"
    LEAK = "shares a run of words with a test set"


# What says nothing against the source: short documents are left out as a matter of course, and so are leaks.
NO_FAULT = (Reason.SHORT, Reason.LEAK)


class Rejection(NamedTuple):
    """A row of rejected.csv. `file` is a name, with ":" and a line or row number where a file has many documents."""

    file: str
    reason: Reason
    detail: str


class Refused(Exception):
    """Something that cannot be used, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
