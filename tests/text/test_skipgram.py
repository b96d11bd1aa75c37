"""Skip-gram: its pairs, its loss, what it draws, what it learns."""

import heapq
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.pretexts.skipgram import SkipGram
from modalities.text.shared import windows
from tests.text import toy

TOY = {"model": {"subsample": 1.0e6, "dim": 16}}
WORDS = ["a", "quick", "brown", "fox", "jumps"]


def made(corpus: Texts, built: Path, **changes: object) -> SkipGram:
    built.mkdir(exist_ok=True)
    SkipGram.build(corpus, built, seed=0, size=512, min_count=1)
    model = {
        "dim": 8,
        "window": 2,
        "subsample": 1e6,
        "softmax": "negative",
        "negatives": 5,
        "pool": 16,
    } | changes
    torch.manual_seed(0)
    return SkipGram(toy.tiny_trunk(), corpus, built, **model)  # type: ignore[arg-type]


def pairs(pretext: SkipGram, batch: dict[str, torch.Tensor]) -> list[tuple[int, int]]:
    """(centre, context) as the loss sees them."""
    found = pretext.reader.context(batch).nonzero().tolist()
    centres = pretext.reader.centres(batch)
    return [(int(centres[n, b]), int(batch["words"][n, c])) for n, b, c in found]


def test_the_lectures_sentence_gives_the_pairs_that_are_written_out(tmp_path: Path) -> None:
    pretext = made(toy.of([[" ".join(WORDS)]]), tmp_path)
    number = {word: k for k, word in enumerate(pretext.encoder.vocabulary.entries)}
    ids = np.array([number[word] for word in WORDS])
    cut = windows.cut(ids, np.zeros(5, np.int64), np.full(5, 2), 2)
    batch = {"words": cut.words, "left": cut.left, "right": cut.right}
    spelled = pretext.encoder.vocabulary.entries
    found = [
        (spelled[a], spelled[b])
        for a, b in pairs(pretext, {k: torch.from_numpy(v) for k, v in batch.items()})
    ]
    assert found == [
        ("a", "quick"), ("a", "brown"),
        ("quick", "a"), ("quick", "brown"), ("quick", "fox"),
        ("brown", "a"), ("brown", "quick"), ("brown", "fox"), ("brown", "jumps"),
        ("fox", "quick"), ("fox", "brown"), ("fox", "jumps"),
        ("jumps", "brown"), ("jumps", "fox"),
    ]  # fmt: skip


def test_pairs_of_a_batch_are_those_of_a_loop_over_its_sentences(toy_texts: Texts, tmp_path: Path) -> None:
    """Over many blocks: none is lost where a block ends, and none crosses a sentence."""
    pretext = made(toy_texts, tmp_path, window=4)
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 40, 30)
    words = rng.integers(50, 60, lengths.sum())
    reach = rng.integers(1, 5, len(words))
    sentence = np.repeat(np.arange(30), lengths)
    cut = windows.cut(words, sentence, reach, 4)
    assert len(cut.words) > 10
    want = [
        (int(words[i]), int(words[j]))
        for i in range(len(words))
        for j in range(max(0, i - reach[i]), min(len(words), i + reach[i] + 1))
        if i != j and sentence[i] == sentence[j]
    ]
    batch = {"words": cut.words, "left": cut.left, "right": cut.right}
    assert pairs(pretext, {k: torch.from_numpy(v) for k, v in batch.items()}) == want


def test_the_loss_equals_a_loop(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, window=3, pool=7)
    torch.nn.init.normal_(pretext.output.table.weight)
    torch.nn.init.normal_(pretext.encoder.table.weight)
    batch = pretext.batch(np.arange(9), np.random.default_rng(0))
    inputs, outputs = pretext.encoder.table.weight.detach(), pretext.output.table.weight.detach()
    centres, context = pretext.reader.centres(batch), pretext.reader.context(batch)
    lost, right, count = 0.0, 0.0, 0
    for n, b, c in context.nonzero().tolist():
        vector, word = inputs[centres[n, b]], batch["words"][n, c]
        lost -= math.log(torch.sigmoid(outputs[word] @ vector))
        right += float(outputs[word] @ vector > 0) / 2
        for negative in batch["negatives"][n]:
            if negative != word:
                lost -= math.log(torch.sigmoid(-outputs[negative] @ vector)) * 5 / 7
                right += float(outputs[negative] @ vector < 0) / 14
        count += 1
    found = pretext(batch)
    assert float(found["loss"].detach()) == pytest.approx(lost / count, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(right / count, rel=1e-5)


def test_the_loss_starts_where_the_output_knows_nothing(toy_texts: Texts, tmp_path: Path) -> None:
    """Output vectors are 0: each of one real and five drawn words costs log 2, but for drawn ones that are skipped."""
    pretext = made(toy_texts, tmp_path, pool=512)
    assert not pretext.output.table.weight.any()
    edge = 0.5 / 8
    assert pretext.encoder.table.weight.abs().max() <= edge
    assert float(pretext.encoder.table.weight.detach().std()) == pytest.approx(edge / math.sqrt(3), rel=0.05)
    loss = float(pretext(pretext.batch(np.arange(40), np.random.default_rng(0)))["loss"].detach())
    assert 5.5 * math.log(2) < loss <= 6 * math.log(2)


def codes(counts: dict[int, int]) -> dict[int, str]:
    """A textbook Huffman code over nested tuples."""
    heap: list[tuple[int, int, object]] = [(count, k, word) for k, (word, count) in enumerate(counts.items())]
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, _, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (a + b, 10**6 + len(heap) + a + b, (left, right)))

    def walk(tree: object, code: str) -> dict[int, str]:
        if isinstance(tree, tuple):
            return walk(tree[0], code + "1") | walk(tree[1], code + "0")
        assert isinstance(tree, int)
        return {tree: code}

    return walk(heap[0][2], "")


def test_the_tree_is_a_prefix_code_as_short_as_huffmans() -> None:
    occurs = np.array([0, 0, 50, 3, 9, 9, 1, 30, 4, 4, 4])
    nodes, turns = windows.huffman(occurs)
    depth = (turns != 0).sum(1)
    slow = codes({int(w): int(occurs[w]) for w in np.flatnonzero(occurs)})
    assert (depth * occurs).sum() == sum(len(code) * occurs[word] for word, code in slow.items())
    assert not depth[:2].any() and set(nodes[turns != 0]) == set(range(8))
    paths = [tuple(turns[w][: depth[w]]) for w in np.flatnonzero(occurs)]
    assert not any(a != b and b[: len(a)] == a for a in paths for b in paths)
    # All paths begin at one root, and two words share a node only below the same turns.
    above: dict[int, set[tuple[float, ...]]] = {}
    for word in np.flatnonzero(occurs):
        for k in range(depth[word]):
            above.setdefault(int(nodes[word, k]), set()).add(tuple(turns[word, :k]))
    assert all(len(prefixes) == 1 for prefixes in above.values()) and () in set.union(*above.values())


def test_hierarchical_softmax_is_a_distribution_and_its_loss_a_loop(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, softmax="hierarchical")
    torch.nn.init.normal_(pretext.output.table.weight)
    torch.nn.init.normal_(pretext.encoder.table.weight)
    batch = pretext.batch(np.arange(9), np.random.default_rng(0))
    inputs, outputs = pretext.encoder.table.weight.detach(), pretext.output.table.weight.detach()
    nodes, turns = windows.huffman(pretext.reader.occurs)

    def chance(word: Any, vector: torch.Tensor) -> float:
        found = 1.0
        for node, turn in zip(nodes[word], turns[word], strict=True):
            if turn:
                found *= float(torch.sigmoid(turn * outputs[node] @ vector))
        return found

    vector = inputs[60]
    assert sum([chance(w, vector) for w in np.flatnonzero(pretext.reader.occurs)]) == pytest.approx(
        1, abs=1e-5
    )
    asked = pairs(pretext, batch)
    want = -sum(math.log(chance(b, inputs[a])) for a, b in asked) / len(asked)
    assert float(pretext(batch)["loss"].detach()) == pytest.approx(want, rel=1e-5)
    assert 0 < pretext.chance()["accuracy"] < 0.5


def test_negatives_are_drawn_by_counts_to_three_quarters(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    drawn = windows.draw(pretext.reader.noise, (200_000,), np.random.default_rng(1))
    share = pretext.reader.occurs**0.75
    seen = np.bincount(drawn, minlength=len(share))
    words = np.flatnonzero(share)
    assert not seen[share == 0].any()
    assert chisquare(seen[words], 200_000 * share[words] / share.sum()).pvalue > 0.01
    # The plain counts would not fit.
    plain = pretext.reader.occurs[words] / pretext.reader.occurs.sum()
    assert chisquare(seen[words], 200_000 * plain).pvalue < 1e-6


def test_words_stay_by_the_released_programs_formula(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = [" ".join(f"w{min(k, 30)}" for k in rng.geometric(0.15, 25)) for _ in range(4000)]
    pretext = made(toy.of([text]), tmp_path, subsample=1e-2)
    occurs = pretext.reader.occurs
    seen = np.zeros(len(occurs))
    for part in np.array_split(np.arange(pretext.samples()), 20):
        batch = pretext.batch(part, rng)
        # Places of words that stayed alone in their sentence count too, so words are counted and not pairs.
        seen += np.bincount(pretext.reader.centres(batch).flatten(), minlength=len(occurs))
    for word in np.argsort(-occurs)[:10]:
        share = occurs[word] / occurs.sum()
        want = min(1.0, (math.sqrt(share / 1e-2) + 1) * 1e-2 / share)
        assert seen[word] / occurs[word] == pytest.approx(
            want, abs=max(0.01, 4 * math.sqrt(want / occurs[word]))
        )
    assert windows.kept(occurs, 1e-2).min() < 0.5


def test_dropped_words_leave_before_windows_are_laid(tmp_path: Path) -> None:
    """With the commonest word gone, its neighbours are next to each other."""
    pretext = made(toy.of([["left the right"] * 4]), tmp_path, window=1)
    entries = pretext.encoder.vocabulary.entries
    pretext.reader.stays[entries.index("the")] = 0
    batch = pretext.batch(np.arange(1), np.random.default_rng(0))
    found = [(entries[a], entries[b]) for a, b in pairs(pretext, batch)]
    assert sorted(found) == [("left", "right"), ("right", "left")]


def test_window_sizes_are_drawn_evenly(tmp_path: Path) -> None:
    pretext = made(toy.of([[" ".join(["x y"] * 60)] * 50]), tmp_path, window=5)
    batch = pretext.batch(np.arange(50), np.random.default_rng(0))
    inner = torch.minimum(batch["left"], batch["right"]).flatten().numpy()
    seen = np.bincount(inner, minlength=6)[1:]
    # Places near an end have less room, some one in twelve.
    assert (np.abs(seen / seen.sum() - 0.2) < 0.04).all()


def test_unknown_words_are_no_centre_no_context_no_negative(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    corpus = toy.of([["common rare1 words common rare2 words"] * 1, ["common words"] * 6])
    SkipGram.build(corpus, built, seed=0, size=512, min_count=3)
    model = {"dim": 8, "window": 2, "subsample": 1e6, "softmax": "negative", "negatives": 5, "pool": 64}
    pretext = SkipGram(toy.tiny_trunk(), corpus, built, **model)  # type: ignore[arg-type]
    unknown = pretext.encoder.vocabulary.unknown
    assert unknown in packing.read(built).tokens
    batch = pretext.batch(np.arange(pretext.samples()), np.random.default_rng(0))
    assert not (batch["negatives"] == unknown).any()
    assert unknown not in {word for pair in pairs(pretext, batch) for word in pair}


def test_words_of_identical_contexts_end_close_and_others_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [
        (("cat", "dog"), "the {} sat on my warm mat today"),
        (("paris", "rome"), "we flew over {} in a large plane again"),
    ]
    text = [frame.format(rng.choice(words)) for words, frame in (frames[k % 2] for k in range(600))]
    pretext = made(toy.of([text]), tmp_path, window=4, dim=16, pool=32)
    optimizer = torch.optim.Adam(pretext.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        pretext(pretext.batch(rng.integers(0, pretext.samples(), 64), rng))["loss"].backward()
        optimizer.step()
    words = pretext.encoder.words()
    assert torch.cosine_similarity(words["cat"], words["dog"], 0) > 0.9
    assert torch.cosine_similarity(words["paris"], words["rome"], 0) > 0.9
    assert torch.cosine_similarity(words["cat"], words["rome"], 0) < 0.5


def test_a_texts_vector_is_the_mean_of_its_known_words(toy_texts: Texts, tmp_path: Path) -> None:
    encoder = made(toy_texts, tmp_path).encoder
    words = encoder.words()
    found = encoder(encoder.tokens(["Ship storm zzz ship", "zzz", ""]))
    torch.testing.assert_close(found[0], (2 * words["ship"] + words["storm"]) / 3)
    assert not found[1:].any()
    assert all(a.isalnum() or not a.isalpha() for a in words) and "[UNK]" not in words


def test_words_are_in_the_order_of_how_often_they_occur(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    found = pretext.reader.occurs[pretext.encoder.vocabulary.specials :]
    assert all(a >= b for a, b in pairwise(found)) and next(iter(pretext.encoder.words())) in ("the", ".")


def test_wrong_settings_are_named(toy_texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.window is 0"):
        made(toy_texts, tmp_path, window=0)
    with pytest.raises(ValueError, match=r"no word of the corpus occurs 1000 times; lower build\.min_count"):
        SkipGram.build(toy_texts, tmp_path, seed=0, size=512, min_count=1000)
    with pytest.raises(FileNotFoundError, match="run `dvc repro` first"):
        windows.counts(tmp_path / "nowhere")
