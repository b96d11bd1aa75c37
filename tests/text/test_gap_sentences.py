"""Gap sentences: the right sentences are hidden, and what is read and written is put together rightly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalities.common.device import threads
from modalities.text.corpus import Texts
from modalities.text.pretexts.gap_sentences import GapSentences
from modalities.text.shared import rouge, shuffling
from modalities.text.shared.gaps import chosen
from modalities.text.shared.targets import NONE
from tests.conftest import params
from tests.text import toy
from tests.text.test_rouge import LECTURE

# Pieces of so small a corpus are short, so its sentences have many.
TOY = {"build": {"length": 110, "target": 48}, "trunk": {"positions": 128}}


def made(corpus: Texts, folder: Path, **changes: Any) -> GapSentences:
    block = params()["text"]["pretexts"]["gap_sentences"]
    build, model = (
        block["build"] | {"size": 400, "length": 110, "target": 48},
        block["model"] | {"visible": 0.0},
    )
    build |= {key: value for key, value in changes.items() if key in build}
    model |= {key: value for key, value in changes.items() if key in model}
    GapSentences.build(corpus, folder, seed=0, **build)
    torch.manual_seed(0)
    return GapSentences(toy.tiny_trunk(positions=128), corpus, folder, **model)


@pytest.mark.parametrize(("ratio", "hidden"), [(0.25, [3]), (0.5, [1, 3])])
def test_of_the_lecture_s_sentences_the_later_of_equals_is_hidden(
    ratio: float, hidden: list[int], tmp_path: Path
) -> None:
    pretext = made(toy.of([LECTURE]), tmp_path, ratio=ratio)
    assert pretext.scores.tolist() == [0.125, 0.25, 0.125, 0.25]
    assert np.flatnonzero(pretext.gaps).tolist() == hidden


def test_the_slide_s_gaps_are_assembled_as_on_the_slide(tmp_path: Path) -> None:
    pretext = made(toy.of([LECTURE]), tmp_path)
    own = pretext.packed.vocabulary
    spans, there = shuffling.sentences(pretext.packed, np.array([0]), np.array([4]))
    gaps = np.array([[True, False, True, False]])
    token, target = pretext.assembled(spans, there, gaps, gaps)
    sentence = [own.encode([text])[0].tolist() for text in LECTURE]
    assert own.entries[own.gap] == "<mask_1>"
    assert token[0].tolist() == [own.gap, *sentence[1], own.gap, *sentence[3], own.end]
    assert target[0].tolist() == [*sentence[0], *sentence[2], own.end]
    assert own.decode(token[0]).strip() == "It is pure white. It is a cool name."
    assert own.decode(target[0]) == "Pegasus is mythical. It names the model."


def test_choice_equals_a_loop_and_holds_to_its_room() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (300, 9)) / 4  # many equals
    there = np.arange(9) < rng.integers(4, 10, 300)[:, None]
    lengths, ratio = rng.integers(1, 14, (300, 9)), rng.uniform(0.1, 0.6, 300)
    found = chosen(scores, there, lengths, ratio, 12)
    for k in range(300):
        count = there[k].sum()
        order = sorted((j for j in range(count) if lengths[k, j] <= 12), key=lambda j: (-scores[k, j], -j))
        want, used = [], 0
        for j in order[: max(1, int(count * ratio[k]))]:
            if used + lengths[k, j] > 12:
                break
            used += lengths[k, j]
            want.append(j)
        assert np.flatnonzero(found[k]).tolist() == sorted(want)


def test_every_passage_is_read_and_written_whole(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    packed, own = pretext.packed, pretext.packed.vocabulary
    batch = pretext.batch(np.arange(pretext.samples()), np.random.default_rng(0))
    asked = 0
    for k, (first, last) in enumerate(pretext.rows[:, :2]):
        assert last - first >= 4 and packed.document_of[first] == packed.document_of[last - 1]
        read: list[int] = []
        written: list[int] = []
        for s in range(first, last):
            tokens = packed.tokens[slice(*packed.offsets[s : s + 2])].tolist()
            read += [own.gap] if pretext.gaps[s] else tokens
            written += tokens if pretext.gaps[s] else []
        assert batch["token"][k].tolist()[: len(read) + 1] == [*read, own.end]
        assert batch["target"][k].tolist()[: len(written) + 1] == [*written, own.end]
        assert (batch["target"][k, len(written) + 1 :] == own.pad).all() and len(written) < 48
        asked += len(written) > 0
        # What is asked is told by scores of this passage alone: nothing is asked that was never near.
        texts = [rouge.words(text, stem=False) for text in toy_texts.strings(range(first, last))]
        assert pretext.scores[first:last] == pytest.approx(rouge.gap_scores(texts, unique=False))
    assert asked == pretext.samples()


def test_a_tenth_of_hidden_sentences_stays_to_be_read(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, visible=0.1)
    rng, index = np.random.default_rng(0), np.arange(pretext.samples())
    gaps = sum(int(pretext.gaps[a:b].sum()) for a, b in pretext.rows[:, :2])
    rounds = 100
    masks = sum(
        (pretext.batch(index, rng)["token"] == pretext.packed.vocabulary.gap).sum().item()
        for _ in range(rounds)
    )
    share, sigma = masks / (rounds * gaps), np.sqrt(0.1 * 0.9 / (rounds * gaps))
    assert abs(share - 0.9) < 3 * sigma


def test_the_stochastic_form_asks_for_other_sentences_each_time(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, stochastic=True)
    index, end = np.arange(pretext.samples()), pretext.packed.vocabulary.end
    first, second = (pretext.batch(index, np.random.default_rng(seed))["target"] for seed in (0, 1))
    assert first.shape != second.shape or not torch.equal(first, second)
    assert (first == end).any(1).all() and (first[:, 0] != end).all()  # none is empty


def test_random_and_lead_are_other_choices(toy_texts: Texts, tmp_path: Path) -> None:
    gaps = {}
    for select in ("orig", "uniq", "random", "lead"):
        (tmp_path / select).mkdir()
        pretext = made(toy_texts, tmp_path / select, select=select, ratio=0.25)
        gaps[select] = pretext.gaps
        if select == "lead":
            where = np.flatnonzero(pretext.gaps)
            assert set(where) <= set(pretext.rows[:, 0])
    assert len({gap.tobytes() for gap in gaps.values()}) >= 3
    with pytest.raises(ValueError, match=r"build\.select is best; use orig, uniq, random or lead"):
        made(toy_texts, tmp_path, select="best")


def test_stop_words_do_not_count_where_asked(tmp_path: Path) -> None:
    pretext = made(toy.of([LECTURE]), tmp_path, stop=True)
    # Left are: pegasus mythical | pure white | names model | cool name: nothing in common.
    assert pretext.scores.tolist() == [0, 0, 0, 0]


def test_the_loss_equals_a_loop_from_the_pad_on(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path).eval()
    encoder, own = pretext.encoder, pretext.packed.vocabulary
    batch = pretext.batch(np.arange(2), np.random.default_rng(0))
    losses = []
    with torch.no_grad(), threads(1):
        found = pretext(batch)
        states = encoder.states(batch["token"])
        for k, target in enumerate(batch["target"].tolist()):
            given, cache = own.pad, None
            for wanted in target[: target.index(own.end) + 1]:
                real = batch["token"][k : k + 1] != own.pad
                scores, cache = encoder.step(torch.tensor([[given]]), cache, states[k : k + 1], real)
                losses.append(-float(scores[0].double().log_softmax(0)[wanted]))
                given = wanted
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_masked_words_are_asked_of_the_encoder(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, words=0.15)
    own, rng = pretext.packed.vocabulary, np.random.default_rng(0)
    plain = made(toy_texts, tmp_path, words=0.0)
    index = np.arange(pretext.samples())
    counts = np.zeros(4)
    for seed in range(60):
        batch = pretext.batch(index, np.random.default_rng(seed))
        before = plain.batch(index, np.random.default_rng(seed))["token"]
        asked = batch["word"] != NONE
        assert (before[asked] >= own.specials).all() and torch.equal(batch["word"][asked], before[asked])
        assert torch.equal(batch["token"][~asked], before[~asked])
        same = (batch["token"] == before)[asked].sum().item()
        masked = (batch["token"] == own.mask)[asked].sum().item()
        counts += [(before >= own.specials).sum().item(), asked.sum().item(), masked, same]
    words, asked_count, masked_count, same_count = counts
    assert abs(asked_count / words - 0.15) < 3 * np.sqrt(0.15 * 0.85 / words)
    assert abs(masked_count / asked_count - 0.8) < 3 * np.sqrt(0.8 * 0.2 / asked_count)
    assert abs(same_count / asked_count - 0.1) < 4 * np.sqrt(0.1 * 0.9 / asked_count)
    found = pretext(pretext.batch(index[:8], rng))
    found["loss"].backward()
    assert "word accuracy" in found and torch.isfinite(found["loss"])


def test_eight_passages_can_be_learnt(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 4e-3)
    with threads(1):
        for _ in range(150):
            optimizer.zero_grad()
            found = pretext(batch)
            found["loss"].backward()
            optimizer.step()
    assert found["accuracy"].item() > 0.95


def test_plain_transformers_gives_the_same_vectors(toy_texts: Texts, tmp_path: Path) -> None:
    from transformers import AutoModel

    encoder = made(toy_texts, tmp_path).encoder.eval()
    encoder.export(tmp_path / "exported")
    x = encoder.tokens(["The judge was in the court .", "Then every wave left the ship ."])
    with torch.no_grad():
        whole = AutoModel.from_pretrained(tmp_path / "exported").eval()
        mask = x != encoder.vocabulary.pad
        states = whole.get_encoder()(input_ids=x, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(encoder.pooled(states, x), encoder(x), atol=1e-5, rtol=0)


def test_documents_too_short_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no document has 4 sentences in 110 tokens, one of them in 48"):
        made(toy.of([LECTURE[:3]]), tmp_path)
    with pytest.raises(ValueError, match=r"gap_sentences\.model\.visible is 1\.0"):
        made(toy.of([LECTURE]), tmp_path, visible=1.0)
