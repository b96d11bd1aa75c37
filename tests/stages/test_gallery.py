"""Maps and neighbours: the same samples for all, the right ones near, tiles where they are said to lie."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from modalities.image.corpus import Images, corpus
from stages import gallery, leaderboard, maps, results, sheet, store
from stages.gallery import Gallery
from tests.conftest import pictures
from tests.text.toy import documents
from tests.video.toys import videos


def found(params: dict[str, Any]) -> Gallery:
    runs = results.read(params)
    made = gallery.gallery(leaderboard.board("image", runs, leaderboard.rows(runs)), runs)
    assert made
    return made


def test_neighbours_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    queries, bank = (rng.normal(size=(n, 8)).astype(np.float32) for n in (7, 50))
    model = NearestNeighbors(n_neighbors=6, metric="cosine").fit(bank)
    np.testing.assert_array_equal(maps.nearest(queries, bank, 6), model.kneighbors(queries)[1])


def test_a_map_keeps_clusters_apart_and_is_the_same_twice() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(4, 16), 25, 0).astype(np.float32) + rng.normal(0, 0.05, (100, 16)).astype(
        np.float32
    )
    one = maps.flat(vectors)
    assert np.array_equal(one, maps.flat(vectors)) and np.abs(one).max() == pytest.approx(1)
    centres = one.reshape(4, 25, 2).mean(1)
    within = np.linalg.norm(one.reshape(4, 25, 2) - centres[:, None], axis=2).max()
    apart = min(np.linalg.norm(a - b) for k, a in enumerate(centres) for b in centres[:k])
    assert apart > 2 * within


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (40, 1), (6, 2)])
def test_few_samples_and_few_numbers_are_no_error(shape: tuple[int, int]) -> None:
    places = maps.flat(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert places.shape == (shape[0], 2) and np.isfinite(places).all()


def test_a_collapsed_encoder_puts_all_on_one_point() -> None:
    assert not maps.flat(np.ones((50, 8), np.float32)).any()
    assert not maps.flat(np.zeros((50, 8), np.float32)).any()


def test_all_methods_are_shown_the_same_samples_and_right_is_of_one_class(tree: dict[str, Any]) -> None:
    made, images = found(tree), corpus(store.corpus_path("image"))
    assert [each.method for each in made.drawn] == ["random", "rotation", "simclr"]
    assert made.points == 40 and len(made.classes) == made.total == 7  # the test split has 40
    queries = [[query for query, _ in each.neighbours] for each in made.drawn]
    assert queries[0] == queries[1] == queries[2] and len({made.names[query] for query in queries[0]}) == 5
    test = np.flatnonzero(images.splits == "test")
    assert made.names[:40] == [images.classes[label] for label in images.labels[test]]
    for each in made.drawn:
        for query, near in each.neighbours:
            assert [right for _, right in near] == [made.names[tile] == made.names[query] for tile, _ in near]
            assert len(near) == 6 and min(tile for tile, _ in near) >= 40  # none is of the test split
    assert made.drawn[1].right == (30, 30) and made.drawn[0].right[0] < 25


def test_tiles_lie_where_the_page_is_told(tree: dict[str, Any]) -> None:
    made, images = found(tree), corpus(store.corpus_path("image"))
    assert made.sheet
    data = made.sheet.image.partition(",")[2]
    whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    test = np.flatnonzero(images.splits == "test")
    for tile in (0, 31, 32, 39):
        x, y = (float(share.rstrip("%")) / 100 for share in made.sheet.place(tile).split())
        left, top = (
            round(x * (made.sheet.columns - 1)) * sheet.SIDE,
            round(y * (made.sheet.rows - 1)) * sheet.SIDE,
        )
        mean = whole[top : top + sheet.SIDE, left : left + sheet.SIDE].mean((0, 1))
        np.testing.assert_allclose(mean, images.pixels(test[[tile]])[0].mean((0, 1)), atol=6)


def test_pictures_of_any_shape_become_squares() -> None:
    shapes = ((10, 30), (60, 20), (48, 48), (100, 300))
    made = sheet.sheet([np.full((h, w, 3), 200, np.uint8) for h, w in shapes])
    assert (made.columns, made.rows) == (4, 1)
    whole = Image.open(io.BytesIO(base64.b64decode(made.image.partition(",")[2])))
    assert (
        whole.size == (4 * sheet.SIDE, sheet.SIDE) and np.abs(np.asarray(whole).astype(int) - 200).max() <= 2
    )


def test_many_classes_are_cut_to_the_commonest_and_unlabelled_sets_have_a_map_too() -> None:
    many = pictures(240, 8, classes=24)
    chosen = gallery.choose(many)
    assert len(chosen.classes) == 10 and set(many.labels[chosen.points]) == set(chosen.classes)
    none = Images(many.shards, many.ids, np.full(240, -1), many.splits, [], many.rows)
    chosen = gallery.choose(none)
    assert chosen.classes == [] and len(chosen.points) == (many.splits == "test").sum()
    assert len(chosen.queries) == 5 and set(many.splits[chosen.bank]) == {"train"}


def test_without_features_there_is_no_gallery(tree: dict[str, Any]) -> None:
    for method in ("random", "rotation", "simclr"):
        (store.features_path("image", method, 17) / "features.safetensors").unlink()
    runs = results.read(tree)
    assert gallery.gallery(leaderboard.board("image", runs, leaderboard.rows(runs)), runs) is None


def test_rows_of_features_are_read_in_any_order_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCK", 7)
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    store.save_vectors(vectors, tmp_path)
    rows = np.array([29, 3, 7, 6, 3, 0])
    np.testing.assert_array_equal(store.load_rows(tmp_path, rows, 30), vectors[rows])
    with pytest.raises(ValueError, match="features of 30 samples, the corpus 31"):
        store.load_rows(tmp_path, rows, 31)


def test_what_videos_and_texts_are_known_by() -> None:
    films = videos(4)
    for k, frame in zip((3, 0), films.show(np.array([3, 0])), strict=True):
        np.testing.assert_array_equal(frame, films.clip(k)[films.counts[k] // 2])
    texts = documents(4)
    starts = [" ".join(texts.documents([k])[0].split())[:80] for k in (2, 1)]
    assert texts.show(np.array([2, 1])) == starts and min(map(len, starts)) > 20
