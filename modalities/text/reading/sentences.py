"""Where sentences end: a rule that needs nothing downloaded and gives the same answer everywhere.

1. A paragraph ends a sentence. 2. So do . ! ? … with closing quotes or brackets, before a space and an upper-case
letter, digit or opening quote. 3. But not after short forms, single capitals, inside numbers, or where an ellipsis goes
on in lower case. 4. A fragment of fewer than LEAST words joins the sentence before it; one of more than MOST is cut at
its last ; : or , before that.
"""

import re

LEAST, MOST = 2, 200  # words

# "may", "sun" and "sat" are left out: words of their own far more often.
_SHORT = """
mr mrs ms dr prof st gen sen rep jr sr vs etc e.g i.e cf al fig eq vol pp ed inc ltd co corp jan feb mar apr jun jul
aug sep sept oct nov dec mon tue tues wed thu thur thurs fri u.s u.k u.n a.m p.m approx dept est messrs gov lt col sgt
capt rev hon mt ft
"""
SHORT = frozenset(_SHORT.split())
NUMBERED = frozenset(["no", "nos", "sec", "sun", "sat", "may"])  # short before a digit alone

# An end: marks, what closes, then space; what follows is looked at apart.
END = re.compile(r"""([.!?…]+)(["'”’»)\]]*)\s+(?=(["'“‘«(\[¿¡]*)(\S))""")
WORD = re.compile(r"""[^\s"'“”‘’«»()\[\]]+$""")
CUT = re.compile(r"[;:,] ")


def split(paragraph: str) -> list[str]:
    """The sentences of one paragraph, whose spaces are single. Joined by a space they are the paragraph again."""
    found, start = [], 0
    for end in END.finditer(paragraph):
        if _ends(paragraph, start, end):
            found.append(paragraph[start : end.end(2)])
            start = end.end()
    found.append(paragraph[start:])
    return [part for sentence in _joined(found) for part in _cut(sentence)]


def _ends(paragraph: str, start: int, end: re.Match[str]) -> bool:
    marks, closing, opening, following = end.groups()
    if not (
        following.isupper()
        or following.isdigit()
        or opening
        or (not following.isascii() and following.isalpha() and following.upper() == following.lower())
    ):  # scripts without case
        return False
    if marks != ".":
        return not (marks[0] in ".…" and following.islower())
    if closing:
        return True
    word = WORD.search(paragraph, start, end.start())
    last = word[0] if word else ""
    if len(last) == 1 and last.isalpha() and last.isupper():
        return last == "I" and not _initial(paragraph, start, end.start())
    low = last.lower()
    if low in NUMBERED:
        return not following.isdigit()
    if low in ("a.m", "p.m", "etc", "jr", "sr", "inc", "ltd", "co", "corp", "u.s", "u.k", "u.n"):
        return _new(paragraph, end, following)
    return low not in SHORT


def _initial(paragraph: str, start: int, stop: int) -> bool:
    """Whether the capital before a full stop follows another initial or begins the sentence: a name, not "I"."""
    before = paragraph[max(start, stop - 4) : stop - 1]
    return stop - 1 == start or bool(re.search(r"[A-Z]\. $", before))


def _new(paragraph: str, end: re.Match[str], following: str) -> bool:
    """After a short form that may well end a sentence: whether a common opening word follows."""
    word = re.match(r"[\"'“‘(\[]*([A-Z][a-z']*)", paragraph[end.end() : end.end() + 20])
    return bool(word) and word[1] in OPENERS if word else False


_OPENERS = """
A After All Also An And Any As At Because Before But By Each Even Every For From He Her Here His How However I If In It
Its Many Most My No Not Now On Once One Only Or Our She Since So Some Such That The Their Then There These They This
Those Though Thus To Today Under Until We What When Where While Who Why With Yet You Your
"""
OPENERS = frozenset(_OPENERS.split())


def _joined(parts: list[str]) -> list[str]:
    """Fragments of fewer than LEAST words go to the sentence before, the first one to that after."""
    out: list[str] = []
    for part in parts:
        if out and (part.count(" ") + 1 < LEAST or (out[-1].count(" ") + 1 < LEAST and len(out) == 1)):
            out[-1] += " " + part
        else:
            out.append(part)
    return out


def _cut(sentence: str) -> list[str]:
    """Pieces of at most MOST words, each cut at its last ; : or , where there is one, else at the word."""
    words = sentence.split(" ")
    if len(words) <= MOST:
        return [sentence]
    head = " ".join(words[:MOST])
    marks = list(CUT.finditer(head))
    at = marks[-1].start() + 1 if marks else len(head)
    return [sentence[:at], *_cut(sentence[at + 1 :])]
