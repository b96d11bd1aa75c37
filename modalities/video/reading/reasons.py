"""Why a file is not in the corpus of videos."""

from enum import StrEnum


class Reason(StrEnum):
    """The whole list, as it stands in rejected.csv."""

    EMPTY = "empty file"
    NO_VIDEO = "no video stream"
    UNREADABLE = "unreadable"
    CRASHED = "crashed or hung"
    TOO_LARGE = "too large"
    TOO_SHORT = "too short"
    TOO_SMALL = "too small"
    REPEATS = "repeated frames"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near duplicate"
    CONFLICT = "conflicting labels"
    OUTSIDE = "outside the source"
    MISSING = "missing"


COPIES = (Reason.DUPLICATE, Reason.NEAR_DUPLICATE)  # left out, but no fault of the file


class Refused(Exception):
    """One file cannot be used; the run goes on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
