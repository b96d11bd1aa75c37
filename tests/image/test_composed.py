"""Composed scenes: exact masks and boxes, nothing shared by the splits, the same bytes from the same seed."""

from pathlib import Path

import numpy as np
import pytest

from modalities.image.corpus import corpus
from modalities.image.judging import marked
from modalities.image.reading import composed, named
from modalities.image.reading.composed import Scenes, ground
from tests.image.files import DEFAULTS, run

SETTINGS = DEFAULTS["composed"]


def test_masks_and_boxes_are_those_of_the_pixels_that_were_laid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "NOISE", 0.0)
    found = composed.composed(40, 0.25, SETTINGS)
    scenes = found.read
    assert isinstance(scenes, Scenes)
    for item in found.items:
        blob = scenes(item.key)
        number, objects = item.key
        bare = ground(np.random.default_rng([SETTINGS["seed"], 1, number]), 40)
        assert isinstance(blob.mask, np.ndarray) and not isinstance(blob.picture, bytes)
        untouched = np.abs(blob.picture - np.clip(bare, 0, 255)).max(2) <= 0.51
        assert (~untouched[blob.mask > 0]).mean() > 0.9  # a pictogram seldom has the colour of the ground
        assert untouched[blob.mask == 0].mean() > 0.8  # the rest is the faint part of edges
        assert set(np.unique(blob.mask)) - {0} <= {kind + 1 for kind, _ in objects}
        assert blob.boxes is not None and len(blob.boxes) <= len(objects)
        covered = np.zeros((40, 40), bool)
        for box in blob.boxes:
            inside = blob.mask[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
            kind = scenes.classes.index(box.name) + 1
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert (edge == kind).any()
            covered[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = True
        assert (blob.mask > 0)[~covered].sum() < composed.LEAST_VISIBLE * len(objects)


def test_what_lies_in_front_hides_what_lies_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "SIZES", (0.8, 0.8))
    monkeypatch.setattr(composed, "MIDDLES", (0.5, 0.5))
    monkeypatch.setattr(composed, "TURN", 0.0)
    found = composed.composed(40, 0.25, SETTINGS)
    flags = [item.key for item in named.openmoji(40).items if item.label == "Flags"]
    scenes = found.read
    assert isinstance(scenes, Scenes)
    kind = scenes.classes.index("Flags")
    blob = scenes((3, ((kind - 1, flags[0]), (kind, flags[0]))))
    assert isinstance(blob.mask, np.ndarray)
    assert set(np.unique(blob.mask)) == {0, kind + 1}
    assert [box.name for box in blob.boxes or ()] == ["Flags"]


def test_no_pictogram_is_in_both_splits_and_they_are_those_of_the_corpus(tmp_path: Path) -> None:
    found = composed.composed(16, 0.25, SETTINGS | {"count": 300})
    drawn = {item.key: item.group or item.name for item in named.openmoji(16).items}
    used = {
        split: {drawn[svg] for item in found.items if item.split == split for _, svg in item.key[1]}
        for split in ("train", "test")
    }
    assert not used["train"] & used["test"] and len(used["test"]) > 50
    run("openmoji", tmp_path / "out", side=16, limit=300)
    _, rows, _ = run("openmoji", tmp_path / "again", side=16, limit=300)
    sides = {named.pictogram(name.removesuffix(".svg")): row["split"] for name, row in rows.items()}
    for split, names in used.items():
        assert {sides[name] for name in names if name in sides} == {split}


def test_it_is_ingested_as_a_set_to_judge_on_and_comes_out_the_same_twice(tmp_path: Path) -> None:
    tasks = {"scenes": {"source": "composed", "side": 32, "labels": "none"}}
    for name in "ab":
        run("digits", tmp_path / name, limit=30, tasks=tasks)
    images = corpus(tmp_path / "a").tasks()["scenes"]
    boxes, masks, labels = marked.boxed(images), marked.masked(images), marked.several(images)
    assert boxes and masks and labels and len(boxes.pictures) == len(masks.pictures) == 12
    assert (images.splits == "test").sum() == 3 and (images.labels == -1).all()
    for place, known in enumerate(boxes.boxes):
        shown = set(np.unique(masks.masks(np.array([place])))) - {0}
        assert len(known.classes) and len(set(known.classes.tolist())) <= len(shown) + 1
    for file in ("images-00000.npy", "masks.npy", "marks.parquet", "meta.json", "index.parquet"):
        first, second = (tmp_path / name / "tasks/scenes" / file for name in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_settings_that_make_no_scenes() -> None:
    with pytest.raises(ValueError, match="composed has count, objects; use count, objects, seed"):
        composed.composed(16, 0.25, {"count": 3, "objects": [1, 2]})
    for changes in ({"count": 1}, {"objects": [0, 2]}, {"objects": [3, 2]}, {"objects": [3]}):
        with pytest.raises(ValueError, match=r"image\.ingest\.composed is count"):
            composed.composed(16, 0.25, SETTINGS | changes)
