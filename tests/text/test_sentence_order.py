"""Sentence order: the order is uniform, what is read is what is asked for, and orders are read out rightly."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.common.device import threads
from modalities.text import packing
from modalities.text.corpus import Texts
from modalities.text.encoders import EncoderDecoder
from modalities.text.pretexts.sentence_order import SentenceOrder
from modalities.text.shared import shuffling
from modalities.text.shared.infilling import infilled
from tests.conftest import params
from tests.text import toy

TOY = {"build": {"length": 60}}
LECTURE = ["I did X.", "Then I did Y.", "Finally I did Z."]


def made(
    corpus: Texts, folder: Path, *, unit: str = "sentence", kind: str = "wordpiece", **model: Any
) -> SentenceOrder:
    block = params()["text"]["pretexts"]["sentence_order"]
    build = block["build"] | {"unit": unit, "kind": kind, "size": 400, "length": 60}
    SentenceOrder.build(corpus, folder, seed=0, **build)
    torch.manual_seed(0)
    return SentenceOrder(toy.tiny_trunk(), corpus, folder, **(block["model"] | model))


def text(pretext: SentenceOrder, row: Tensor) -> str:
    return pretext.packed.vocabulary.decode(row.tolist())


def units(row: list[int], opener: int, close: int) -> list[tuple[int, ...]]:
    """The runs of tokens after each opener."""
    body = row[: row.index(close)]
    starts = [k for k, token in enumerate(body) if token == opener]
    return [tuple(body[a + 1 : b]) for a, b in zip(starts, [*starts[1:], len(body)], strict=True)]


def test_the_lecture_s_three_sentences_round_trip(tmp_path: Path) -> None:
    for form, kind in (("order", "wordpiece"), ("denoise", "bpe")):
        folder = tmp_path / form
        folder.mkdir()
        pretext = made(toy.of([LECTURE]), folder, form=form, kind=kind)
        orders = set()
        for seed in range(40):
            batch = pretext.batch(np.array([0]), np.random.default_rng(seed))
            orders.add(text(pretext, batch["token"][0]))
            if form == "denoise":
                assert text(pretext, batch["target"][0]) == "".join(LECTURE)
                assert batch["target"][0, -1] == pretext.packed.vocabulary.end
            else:
                own = pretext.packed.vocabulary
                row = batch["token"][0].tolist()
                put = [own.decode(unit) for unit in units(row, own.start, own.separator)]
                back = [put[k] for k in np.argsort(batch["rank"][0].numpy())]
                assert " ".join(back) == "i did x. then i did y. finally i did z."
        assert len(orders) == 6


@pytest.mark.parametrize("form", ["order", "denoise"])
def test_what_is_read_is_a_permutation_of_whole_sentences(
    form: str, toy_texts: Texts, tmp_path: Path
) -> None:
    pretext = made(toy_texts, tmp_path, form=form)
    packed, own = pretext.packed, pretext.packed.vocabulary
    index = np.arange(pretext.samples())
    batch = pretext.batch(index, np.random.default_rng(0))
    for k, row in enumerate(batch["token"].tolist()):
        first, last = packed.examples[k]
        want = [tuple(packed.tokens[slice(*packed.offsets[s : s + 2])].tolist()) for s in range(first, last)]
        assert 3 <= last - first <= 5 and len({packed.document_of[first], packed.document_of[last - 1]}) == 1
        assert len(set(want)) == len(want)  # no two alike
        if form == "order":
            found = units(row, own.start, own.separator)
            assert sorted(found) == sorted(want)
            count = len(want)
            assert [want[rank] for rank in batch["rank"][k, :count].tolist()] == found
            places = [j for j, token in enumerate(row) if token == own.start]
            assert batch["place"][k, :count].tolist() == places
        else:
            whole = [token for unit in want for token in unit]
            assert sorted(row[1 : row.index(own.separator)]) == sorted(whole)
            target = batch["target"][k].tolist()
            assert target[: len(whole) + 1] == [*whole, own.end]


def test_all_orders_of_three_are_equally_likely() -> None:
    draws, rng = 10_000, np.random.default_rng(0)
    there = np.ones((draws, 3), bool)
    order, moved = shuffling.shuffled(there, np.zeros((draws, 3), np.int64), 1.0, rng)
    assert moved.all()
    counts = [(order == list(each)).all(1).sum() for each in itertools.permutations(range(3))]
    sigma = np.sqrt(draws * (1 / 6) * (5 / 6))
    assert sum(counts) == draws and np.abs(np.array(counts) - draws / 6).max() < 3 * sigma


def test_rows_of_any_length_are_permuted_among_themselves() -> None:
    rng = np.random.default_rng(1)
    there = np.arange(5) < rng.integers(3, 6, 500)[:, None]
    order, _ = shuffling.shuffled(there, np.zeros((500, 5), np.int64), 1.0, rng)
    for row, own in zip(order, there, strict=True):
        assert sorted(row[: own.sum()]) == list(range(own.sum()))


def test_windows_shuffle_a_share_of_threes_of_neighbours() -> None:
    rng = np.random.default_rng(2)
    there = np.ones((4000, 30), bool)
    group = shuffling.groups(there, 3, rng)
    order, moved = shuffling.shuffled(there, group, 0.05, rng)
    assert (np.abs(order - np.arange(30)) <= 2).all()
    assert (np.take_along_axis(group, order, 1) == group).all()
    stays = np.arange(30)[None].repeat(4000, 0)
    assert (order[~moved] == stays[~moved]).all()
    # One in twenty of about ten groups, and one in the rows that would have none.
    assert moved.mean() == pytest.approx(0.05 + 0.95**10.4 / 10.4, abs=0.01)
    begins = {tuple(row[:4]) for row in group.tolist()}
    assert begins == {(0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1)}


def test_words_are_the_units_where_asked(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, unit="word")
    packed, own = pretext.packed, pretext.packed.vocabulary
    batch = pretext.batch(np.arange(20), np.random.default_rng(0))
    for k, row in enumerate(batch["token"].tolist()):
        sentence = own.decode(packed.tokens[slice(*packed.offsets[packed.examples[k, 0] :][:2])].tolist())
        read = own.decode(row)
        assert sorted(read.replace(".", " .").replace("?", " ?").split()) == sorted(
            sentence.replace(".", " .").replace("?", " ?").split()
        )
        words = int(batch["moved"][k].sum())
        first = batch["place"][k, :words]
        assert all(own.begins[row[place]] for place in first.tolist())
    assert torch.isfinite(pretext(batch)["loss"])


class Reads(torch.nn.Module):
    """States that tell the true index of the sentence that opens at each place."""

    dim = 3

    def __init__(self, batch: dict[str, Tensor]) -> None:
        super().__init__()
        self.found = torch.zeros(*batch["token"].shape, 3)
        for row, unit in batch["moved"].nonzero().tolist():
            self.found[row, batch["place"][row, unit]] = float(batch["rank"][row, unit])

    def states(self, x: Tensor) -> Tensor:
        return self.found


def test_true_indices_and_a_head_that_reads_differences_give_tau_one(
    toy_texts: Texts, tmp_path: Path
) -> None:
    pretext = made(toy_texts, tmp_path)
    batch = pretext.batch(np.arange(12), np.random.default_rng(0))
    pretext.encoder = Reads(batch)  # type: ignore[assignment]
    pretext.head = torch.nn.Linear(9, 1)
    with torch.no_grad():
        pretext.head.weight.copy_(torch.tensor([[-9.0, 0, 0, 9.0, 0, 0, 0, 0, 0]]))
        pretext.head.bias.zero_()
        found = pretext(batch)
    assert found["tau"] == 1 and found["accuracy"] == 1 and found["loss"] < 0.01


def test_the_loss_of_orders_equals_a_loop(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, window=0).eval()
    batch = pretext.batch(np.arange(6), np.random.default_rng(0))
    with torch.no_grad():
        found = pretext(batch)
        states = pretext.encoder.states(batch["token"])
        losses, right = [], []
        for k in range(6):
            count = int(batch["moved"][k].sum())
            for i, j in itertools.permutations(range(count), 2):
                u, v = states[k, batch["place"][k, i]], states[k, batch["place"][k, j]]
                p = torch.sigmoid(pretext.head(torch.cat([u, v, u * v]))).double()
                y = bool(batch["rank"][k, i] < batch["rank"][k, j])
                losses.append(-float(torch.log(p if y else 1 - p)))
                right.append(bool(p > 0.5) == y)
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)
    assert float(found["accuracy"]) == pytest.approx(np.mean(right))


def test_the_loss_of_writing_equals_a_loop_with_smoothing(toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, form="denoise", infill=0.3, smoothing=0.1).eval()
    encoder = pretext.encoder
    assert isinstance(encoder, EncoderDecoder)
    batch = pretext.batch(np.arange(2), np.random.default_rng(0))
    own, losses = pretext.packed.vocabulary, []
    with torch.no_grad(), threads(1):
        found = pretext(batch)
        states = encoder.states(batch["token"])
        for k, target in enumerate(batch["target"].tolist()):
            given, cache = own.end, None  # BART's decoder starts with the end
            for wanted in target[: target.index(own.end) + 1]:
                real = batch["token"][k : k + 1] != own.pad
                scores, cache = encoder.step(torch.tensor([[given]]), cache, states[k : k + 1], real)
                log_p = scores[0].double().log_softmax(0)
                losses.append(-float(0.9 * log_p[wanted] + 0.1 * log_p.mean()))
                given = wanted
    assert float(found["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_infilling_hides_its_share_in_runs_of_about_three() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 61, 3000)
    ids = np.where(np.arange(60) < lengths[:, None], 10 + np.arange(60), 0)
    out = infilled(ids, lengths, 0.3, 1, 0, rng)
    hidden, runs = 0, []
    for row, length in zip(out, lengths, strict=True):
        kept = row[row > 1]
        assert (np.diff(kept) > 0).all() and (row[len(kept) + (row == 1).sum() :] == 0).all()
        assert len(kept) + (row == 1).sum() <= length
        assert not ((row[1:] == 1) & (row[:-1] == 1)).any()
        gone = length - len(kept)
        assert gone <= round(0.3 * length)
        hidden += gone
        runs += [gone / max(1, (row == 1).sum())]
    assert hidden / lengths.sum() == pytest.approx(0.3, abs=0.02)
    assert 2.0 < np.mean([run for run in runs if run]) < 4.0
    assert np.array_equal(infilled(ids, lengths, 0.0, 1, 0, rng), ids[:, : lengths.max()])


@pytest.mark.parametrize("form", ["order", "denoise"])
def test_eight_passages_can_be_learnt(form: str, toy_texts: Texts, tmp_path: Path) -> None:
    pretext = made(toy_texts, tmp_path, form=form)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    optimizer = torch.optim.AdamW(pretext.parameters(), 4e-3)
    with threads(1):
        for _ in range(120):
            optimizer.zero_grad()
            found = pretext(batch)
            found["loss"].backward()
            optimizer.step()
    assert found["accuracy"].item() > 0.9


def test_passages_with_a_sentence_twice_are_left_out(tmp_path: Path) -> None:
    twice = ["A ship left .", "It came back .", "A ship left .", "The storm was gone ."]
    fine = ["The oven was hot .", "A baker came .", "He made a cake ."]
    pretext = made(toy.of([twice, fine]), tmp_path)
    assert [pretext.packed.document_of[first] for first, _ in pretext.packed.examples] == [1]


def test_what_does_not_fit_is_refused(toy_texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="no document has three sentences in 60 tokens; raise sentence_order"
    ):
        made(toy.of([["One sentence .", "And another ."]]), tmp_path)
    with pytest.raises(ValueError, match="infill is of the form denoise"):
        made(toy_texts, tmp_path, infill=0.3)
    with pytest.raises(ValueError, match=r"model\.window is 1; use 0 for the whole row, or 2 or more"):
        made(toy_texts, tmp_path, window=1)
    with pytest.raises(ValueError, match=r"build\.unit is page; use sentence or word"):
        made(toy_texts, tmp_path, unit="page")
    assert packing.read(tmp_path).vocabulary.kind == "wordpiece"
