"""How each kind of vocabulary is trained, so that two runs give the same bytes. V entries.

`WordPieceTrainer` and `UnigramTrainer` of `tokenizers` break ties in the order of a hash map, so two runs of them
differ: WordPiece is trained as the BPE that it is, and unigram pieces by sentencepiece on one thread.
"""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

ALPHABET = 1000  # characters that WordPiece and unigram know, the commonest: the rest is unknown
PIECES = 1 << 22  # bytes of text, evenly spread, that unigram pieces are trained on: one thread is slow


def words(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
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


def characters(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
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


def wordpiece(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
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


def bpe(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
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


def unigram(texts: Sequence[str], specials: list[str], size: int, min_count: int) -> Any:
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


TRAIN: dict[str, Callable[[Sequence[str], list[str], int, int], Any]] = {
    "words": words,
    "wordpiece": wordpiece,
    "bpe": bpe,
    "unigram": unigram,
    "characters": characters,
}
