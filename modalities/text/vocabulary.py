"""Vocabularies: words, WordPiece, byte-level BPE, unigram pieces and characters, the same bytes every time.

Made by `tokenizers` from training text alone (modalities/text/shared/trainers.py). V entries; the first ones are
special tokens, which are never read out of text that spells them.
"""

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["words", "wordpiece", "bpe", "unigram", "characters"]
Flat = NDArray[np.int64]

SPARE = 32  # special tokens without a use yet, for later tasks
FEW, PART = 512, 1 << 14  # texts that are tokenised as they are; texts, or words, at a time
GROUP, MARK = 64, "<unused0>"  # words that are tokenised as one text, and what is put between them
WORD = re.compile(r"\s*\S+|\s+")  # with the space before it; at the end of a text, space alone
# A space after other white space: only there does it matter whether a text is cut before all of it.
DOUBLED = [chr(k) + " " for k in range(0x3001) if chr(k).isspace()]

# What special tokens are for, in the order of their ids. `start` opens a text, `separator` ends each of its parts,
# `end` ends what is generated, `mask` hides a word, `gap` a sentence.
SPECIALS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "words": {"[PAD]": ("pad",), "[UNK]": ("unknown",), "[BOS]": ("start",), "[EOS]": ("separator", "end")},
    "characters": {"[PAD]": ("pad",), "[UNK]": ("unknown",), "[BOS]": ("start",), "[EOS]": ("separator", "end")},
    "wordpiece": {
        "[PAD]": ("pad",), "[UNK]": ("unknown",), "[CLS]": ("start",), "[SEP]": ("separator", "end"),
        "[MASK]": ("mask",),
    },
    "bpe": {"<s>": ("start",), "<pad>": ("pad",), "</s>": ("separator", "end"), "<mask>": ("mask",)},
    "unigram": {
        "<pad>": ("pad",), "</s>": ("end",), "<mask_1>": ("gap",), "<mask_2>": ("mask",), "<unk>": ("unknown",),
        "<cls>": ("start",), "<sep>": ("separator",),
    },
}  # fmt: skip


class Vocabulary:
    """A tokenizer, as its JSON, and the ids of its special tokens by role: `pad`, `start`, `separator`, `mask`, ...

    An attribute that is such a role is its id. Asking for one that this kind has not raises ValueError.
    """

    pad: int
    start: int
    separator: int
    end: int
    unknown: int
    mask: int
    gap: int

    def __init__(self, json: str) -> None:
        self.json = json
        names = set(self.entries[:8])
        self.kind: Kind = next(
            kind for kind in ("wordpiece", "bpe", "unigram", "words") if set(SPECIALS[kind]) <= names
        )  # `characters` has the specials of `words`, and is told from it by no one

    def __getattr__(self, role: str) -> int:
        # Only called for what is no attribute yet. Private names must fail as usual: copying asks for them.
        if role.startswith("_") or role in ("json", "kind"):
            raise AttributeError(role)
        for token, roles in SPECIALS[self.kind].items():
            if role in roles:
                return self.entries.index(token)
        raise ValueError(f"a vocabulary of kind {self.kind} has no token for {role}; use another build.kind")

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, str]:
        return {"json": self.json}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(state["json"])  # type: ignore[misc]

    @cached_property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`. Special tokens that a text spells are text to it."""
        from tokenizers import Tokenizer

        found = Tokenizer.from_str(self.json)
        found.encode_special_tokens = True
        return found

    @cached_property
    def entries(self) -> list[str]:
        """(V,) the tokens as the vocabulary spells them, by id."""
        found = self.tokenizer.get_vocab(with_added_tokens=True)
        return sorted(found, key=found.__getitem__)

    @cached_property
    def specials(self) -> int:
        """How many ids are special: 0 .. specials - 1, spare ones included."""
        return len(SPECIALS[self.kind]) + SPARE

    @cached_property
    def begins(self) -> NDArray[np.bool_]:
        """(V,), whether a token begins a word. The first token of a sentence does so whatever this says."""
        return np.array([_begins(self.kind, token) for token in self.entries])

    def encode(self, texts: Sequence[str]) -> tuple[Flat, Flat]:
        """All ids end to end, and (n + 1,) where each text's begin. No special token is added.

        No kind's tokens cross the space before a word. So of many texts each different word is tokenised once, with the
        space before it.
        """
        if len(texts) < FEW:
            return self._encode(texts)
        seen: defaultdict[str, int] = defaultdict()
        seen.default_factory = seen.__len__
        codes: list[NDArray[np.int32]] = []
        counts: list[int] = []
        for k in range(0, len(texts), PART):  # in parts: words take ten times the room of their numbers
            words, many = _words(texts[k : k + PART])
            counts += many
            codes.append(np.fromiter(map(seen.__getitem__, words), np.int32, len(words)))
        code = np.concatenate(codes)
        ids, starts, lengths = self._spelled(list(seen))
        lengths = lengths[code]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        where = np.arange(ends[-1]) + np.repeat(starts[code] - ends[:-1], lengths)
        return ids[where], ends[np.concatenate([[0], np.cumsum(counts)])].astype(np.int64)

    def _spelled(self, words: Sequence[str]) -> tuple[Flat, Flat, Flat]:
        """All ids, and where each word's begin and how many they are.

        A text costs more than a word, so words are tokenised in groups, with a special token after each; those that may
        spell one by themselves.
        """
        odd = np.array(["<" in word or "[" in word for word in words], bool)
        plain = list(itertools.compress(words, ~odd))
        groups = [MARK.join([*plain[k : k + GROUP], ""]) for k in range(0, len(plain), GROUP)]
        reading = self.tokenizer.from_str(self.json)  # reads special tokens in a text
        found = itertools.chain.from_iterable(_ids(reading, groups, PART // GROUP))
        ids = np.fromiter(itertools.chain.from_iterable(found), np.int64)
        marks = np.flatnonzero(ids == self.entries.index(MARK))
        rest, ends = self._encode(list(itertools.compress(words, odd)))
        starts, lengths = np.zeros((2, len(words)), np.int64)
        lengths[~odd], lengths[odd] = np.diff(marks, prepend=-1) - 1, np.diff(ends)
        starts[~odd], starts[odd] = marks - lengths[~odd], len(ids) + ends[:-1]
        return np.concatenate([ids, rest]), starts, lengths

    def _encode(self, texts: Sequence[str]) -> tuple[Flat, Flat]:
        flat: list[Flat] = []
        lengths: list[int] = []
        for ids in _ids(self.tokenizer, texts, PART):
            lengths += map(len, ids)
            flat.append(np.fromiter(itertools.chain.from_iterable(ids), np.int64))
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        return np.concatenate(flat) if flat else np.zeros(0, np.int64), offsets

    def decode(self, ids: Sequence[int] | Flat) -> str:
        """Text again, special tokens left out. Kinds that lower the case or drop spaces do not give them back."""
        found: str = self.tokenizer.decode([int(k) for k in ids], skip_special_tokens=True)
        return found

    def save(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text(self.json, encoding="utf-8")


def load(folder: Path) -> Vocabulary:
    """What `save` wrote. Raises FileNotFoundError where nothing is built."""
    file = folder / "tokenizer.json"
    if not file.exists():
        raise FileNotFoundError(f"{folder} holds no tokenizer.json; run `dvc repro` first")
    return Vocabulary(file.read_text(encoding="utf-8"))


def train(texts: Sequence[str], *, kind: Kind, size: int, min_count: int) -> Vocabulary:
    """At most `size` entries, special tokens included; fewer where the texts support no more.

    `min_count` is what a word must occur to have an entry, of kind `words`; the others have no use for it. Raises
    ValueError where `size` cannot hold the special tokens and an alphabet.
    """
    from modalities.text.shared import trainers

    if kind not in SPECIALS:
        raise ValueError(f"build.kind is {kind}; use {', '.join(SPECIALS)}")
    specials = [*SPECIALS[kind], *(f"<unused{k}>" for k in range(SPARE))]
    if size < len(specials) + 16:
        raise ValueError(
            f"build.size is {size}; {len(specials)} entries are special tokens, so use {len(specials) + 16} or more"
        )
    tokenizer = trainers.TRAIN[kind](texts, specials, size, min_count)
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    _frame(tokenizer, kind)
    return Vocabulary(tokenizer.to_str())


def key(texts: Sequence[str], *, kind: Kind, size: int, min_count: int) -> str:
    """A digest of all that a vocabulary, and these texts in its tokens, follow from: code and libraries too."""
    from importlib.metadata import version

    from modalities.text import packing
    from modalities.text.shared import trainers

    found = hashlib.sha256(
        f"{kind} {size} {min_count} {version('tokenizers')} {version('sentencepiece')}".encode()
    )
    for code in (__file__, packing.__file__, trainers.__file__):
        found.update(Path(code).read_bytes())
    for text in texts:
        found.update(text.encode() + b"\0")
    return found.hexdigest()


def _frame(tokenizer: Any, kind: Kind) -> None:
    """What plain `transformers` is to put around a text, as `TextEncoder.tokens` does."""
    from tokenizers.processors import TemplateProcessing

    role = {use: token for token, uses in SPECIALS[kind].items() for use in uses}
    start, end = role["start"], role["separator"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(start, tokenizer.token_to_id(start)), (end, tokenizer.token_to_id(end))],
    )


def _words(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The words of all texts, each with the space before it, and how many there are in each text."""
    whole = "\0".join(texts)
    if whole.count("\0") == len(texts) - 1 and not any(mark in whole for mark in DOUBLED):
        # As most texts are: several times faster. Other space than " " then stays inside a word, where it does no harm.
        return whole.replace(" ", "\0 ").split("\0"), [text.count(" ") + 1 for text in texts]
    words = [WORD.findall(text) for text in texts]
    return list(itertools.chain.from_iterable(words)), list(map(len, words))


def _ids(tokenizer: Any, texts: Sequence[str], count: int) -> Iterator[list[list[int]]]:
    """Ids of each text, `count` texts at a time: encodings take a hundred times the room of their ids."""
    for k in range(0, len(texts), count):
        found = tokenizer.encode_batch_fast(texts[k : k + count], add_special_tokens=False)
        yield [each.ids for each in found]


def _begins(kind: Kind, token: str) -> bool:
    if kind == "wordpiece":
        return not token.startswith("##")
    if kind == "unigram":
        return token.startswith("▁")
    if kind == "bpe":
        # "Ġ" and "Ċ" spell space and newline; a mark of punctuation is a word of its own, other bytes go on.
        return token[0] in "ĠĊ" or (token[0].isascii() and not token[0].isalnum())
    return True
