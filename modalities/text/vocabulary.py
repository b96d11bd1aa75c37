"""Vocabularies: words, WordPiece, byte-level BPE, unigram pieces and characters, the same bytes every time.

Built with `tokenizers` on training text alone. `WordPieceTrainer` and `UnigramTrainer` break ties in the order of a
hash map, so two runs of them differ: WordPiece is trained as the BPE that it is, and unigram pieces by sentencepiece on
one thread. V entries; the first ones are special tokens, which are never read out of text that spells them.
"""

import io
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["words", "wordpiece", "bpe", "unigram", "characters"]
Flat = NDArray[np.int64]

SPARE = 32  # special tokens without a use yet, for later tasks
ALPHABET = 1000  # characters that WordPiece and unigram know, the commonest: the rest is unknown
PIECES = 1 << 22  # bytes of text, evenly spread, that unigram pieces are trained on: one thread is slow

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
        """All ids end to end, and (n + 1,) where each text's begin. No special token is added."""
        flat: list[Flat] = []
        lengths: list[int] = []
        for k in range(0, len(texts), 4096):  # in parts: encodings take a hundred times the room of their ids
            ids = [
                found.ids
                for found in self.tokenizer.encode_batch_fast(texts[k : k + 4096], add_special_tokens=False)
            ]
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
        raise FileNotFoundError(f"{folder} holds no tokenizer.json; run `dvc repro build-text` first")
    return Vocabulary(file.read_text(encoding="utf-8"))


def train(texts: Sequence[str], *, kind: Kind, size: int, min_count: int) -> Vocabulary:
    """At most `size` entries, special tokens included; fewer where the texts support no more.

    `min_count` is what a word must occur to have an entry, of kind `words`; the others have no use for it. Raises
    ValueError where `size` cannot hold the special tokens and an alphabet.
    """
    if kind not in TRAIN:
        raise ValueError(f"build.kind is {kind}; use {', '.join(TRAIN)}")
    specials = [*SPECIALS[kind], *(f"<unused{k}>" for k in range(SPARE))]
    if size < len(specials) + 16:
        raise ValueError(
            f"build.size is {size}; {len(specials)} entries are special tokens, so use {len(specials) + 16} or more"
        )
    tokenizer = TRAIN[kind](texts, specials, size, min_count)
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    _frame(tokenizer, kind)
    return Vocabulary(tokenizer.to_str())


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


def _words(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    found = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    found.normalizer = normalizers.Lowercase()
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.train_from_iterator(
        texts,
        trainers.WordLevelTrainer(
            vocab_size=size, min_frequency=min_count, special_tokens=specials, show_progress=False
        ),
    )
    return found


def _characters(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(text)
    common = sorted(seen, key=lambda c: (-seen[c], c))[: size - len(specials)]
    vocabulary = {token: k for k, token in enumerate([*specials, *sorted(common)])}
    found = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    found.decoder = decoders.Fuse()
    return found


def _wordpiece(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
    """BPE over "▁word" says which pieces there are; a piece without the mark continues a word, "##piece"."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE())
    plain.normalizer = normalizers.BertNormalizer()
    mark = pre_tokenizers.Metaspace(prepend_scheme="always")
    plain.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), mark])
    trainer = trainers.BpeTrainer(vocab_size=size, limit_alphabet=ALPHABET, show_progress=False)
    plain.train_from_iterator(texts, trainer)
    by_id = plain.get_vocab()
    pieces = sorted(by_id, key=by_id.__getitem__)
    letters = [piece for piece in pieces if len(piece) == 1 and piece != "▁"]
    entries = [*specials, *letters, *("##" + letter for letter in letters)]
    if len(entries) > size:
        raise ValueError(
            f"build.size is {size}; the {len(letters)} characters of this corpus need {len(entries)} in both forms"
        )
    merged = (piece for piece in pieces if len(piece) > 1)
    entries += [piece[1:] if piece[0] == "▁" else "##" + piece for piece in merged]
    entries = list(dict.fromkeys(entries))[:size]
    vocabulary = {token: k for k, token in enumerate(entries)}
    found = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    found.normalizer, found.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    found.decoder = decoders.WordPiece()
    return found


def _bpe(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size < len(specials) + len(alphabet):
        raise ValueError(f"build.size is {size}; bytes alone need {len(specials) + len(alphabet)} entries")
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    found.train_from_iterator(texts, trainer)
    return found


def _unigram(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
    """Kudo 2018 (arXiv:1804.10959). One thread: with another number of them sentencepiece finds another model."""
    import unicodedata

    import sentencepiece
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    every = max(1, -(-sum(map(len, texts)) // PIECES))
    some = [" ".join(unicodedata.normalize("NFKC", text).split())[:4000] for text in texts[::every]]
    letters = len(set().union(*some))
    model = io.BytesIO()
    trainable = size - len(specials) + 3  # it counts its own <unk>, <s> and </s>
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(some), model_writer=model, vocab_size=trainable, model_type="unigram",
        num_threads=1, normalization_rule_name="identity", hard_vocab_limit=False, shuffle_input_sentence=False,
        character_coverage=1.0 if letters < size // 4 else 0.9995, minloglevel=2, max_sentence_length=1 << 16,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    count = processor.get_piece_size()
    normal = [k for k in range(count) if not (processor.is_control(k) or processor.is_unknown(k))]
    entries = [(token, 0.0) for token in specials]
    entries += [(processor.id_to_piece(k), processor.get_score(k)) for k in normal]
    found = Tokenizer(models.Unigram(entries, unk_id=specials.index("<unk>")))
    found.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    # The model matches special tokens too. All begin with "<", so no text can spell one where "<" stands alone.
    mark = pre_tokenizers.Metaspace(prepend_scheme="always")
    found.pre_tokenizer = pre_tokenizers.Sequence([mark, pre_tokenizers.Split("<", "isolated")])
    found.decoder = decoders.Metaspace(prepend_scheme="always")
    return found


TRAIN: dict[Kind, Callable[[Sequence[str], list[str], int, int], Any]] = {
    "words": _words,
    "wordpiece": _wordpiece,
    "bpe": _bpe,
    "unigram": _unigram,
    "characters": _characters,
}


def _begins(kind: Kind, token: str) -> bool:
    if kind == "wordpiece":
        return not token.startswith("##")
    if kind == "unigram":
        return token.startswith("▁")
    if kind == "bpe":
        # "Ġ" and "Ċ" spell space and newline; a mark of punctuation is a word of its own, other bytes go on.
        return token[0] in "ĠĊ" or (token[0].isascii() and not token[0].isalnum())
    return True
