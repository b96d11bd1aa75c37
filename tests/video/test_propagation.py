"""Mask propagation: features that tell objects apart score 1, and numbers are means over objects of all videos."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modalities.video.corpus import Videos
from modalities.video.propagation.davis_measures import contour, region
from modalities.video.propagation.dense import dense, fitted
from modalities.video.transfers.propagation import decided, run
from tests.video.scenes import Colours, NoMaps, alone, bars, beside, in_training, scene, sprites
from tests.video.toys import tiny, videos

SETTINGS: dict[str, Any] = {
    "seed": 0, "context": 20, "top": 10, "radius": 12, "temperature": 0.05, "stretch": False, "side": 64, "limit": 9,
}  # fmt: skip


@pytest.mark.parametrize("stretch", [True, False])
def test_an_encoder_that_tells_the_object_apart_scores_one(stretch: bool, tmp_path: Path) -> None:
    found = run(Colours(), alone(bars()), None, tmp_path, **SETTINGS | {"stretch": stretch})
    assert found == {
        "J&F": 1, "J": 1, "F": 1, "J recall": 1, "F recall": 1, "J decay": 0, "F decay": 0,
    }  # fmt: skip
    assert (tmp_path / "masks.png").stat().st_size > 1000


def test_masks_of_another_size_than_the_frames_are_judged_at_their_own(tmp_path: Path) -> None:
    clip, masks = bars()
    large = masks.repeat(3, 1).repeat(3, 2)
    assert run(Colours(), scene([clip], [large]), None, tmp_path, **SETTINGS)["J&F"] == 1


def test_two_objects_keep_their_numbers_and_the_scene_its_ground(tmp_path: Path) -> None:
    clip, masks = bars(frames=5, step=8, wide=16)
    clip[:, :, 72:88], masks[:, :, 72:88] = (0, 255, 0), 4  # a second bar, which stands
    assert run(Colours(), scene([clip], [masks]), None, tmp_path, **SETTINGS)["J&F"] == 1


def test_numbers_are_means_over_objects_and_inner_frames(tmp_path: Path) -> None:
    # Features without any difference: the most similar cells are ties, and the prediction is far from the truth.
    first, second = bars(frames=5, step=8), sprites(frames=6)
    second[1][:, :4, :4] = 2
    corpus = scene([first[0], second[0]], [first[1], second[1]])
    encoder = tiny().eval()
    found = run(encoder, corpus, None, tmp_path, **SETTINGS)
    regions, contours = [], []
    for clip, masks in (first, second):
        predicted = carried(encoder, clip, masks)
        for k in (1, 2)[: masks.max()]:
            regions.append(region(predicted[1:-1] == k, masks[1:-1] == k).mean())
            contours.append(contour(predicted[1:-1] == k, masks[1:-1] == k).mean())
    assert len(regions) == 3
    assert found["J"] == pytest.approx(np.mean(regions)) and found["F"] == pytest.approx(np.mean(contours))
    assert found["J&F"] == pytest.approx((np.mean(regions) + np.mean(contours)) / 2)


def carried(encoder: Any, clip: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The prediction for one clip, from the parts that have tests of their own."""
    from modalities.video.propagation.affinity import propagate, spread

    features = dense(encoder, clip, (64, 96))
    shown = torch.stack([torch.from_numpy(masks[0] == k).float() for k in range(masks[0].max() + 1)])
    settings = {key: SETTINGS[key] for key in ("context", "top", "radius", "temperature")}
    return decided(propagate(features, spread(shown, *features.shape[2:]), **settings), (64, 96), False)


def test_further_sets_are_judged_whole_and_the_corpus_by_its_held_out_videos(tmp_path: Path) -> None:
    clip, masks = bars()
    learnt = in_training(scene([clip], [masks]))
    found = run(Colours(), beside(learnt, learnt), None, tmp_path, **SETTINGS)
    assert set(found) == {
        f"davis/{key}" for key in ("J&F", "J", "F", "J recall", "F recall", "J decay", "F decay")
    }
    assert found["davis/J&F"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["masks-davis.png"]


def test_the_limit_counts_videos_by_id(tmp_path: Path) -> None:
    good, bad = bars(), sprites()
    corpus = scene([good[0], bad[0]], [good[1], bad[1]])
    assert run(Colours(), corpus, None, tmp_path, **SETTINGS | {"limit": 1})["J"] == 1
    turned = corpus.take(np.array([1, 0]))
    assert run(Colours(), turned, None, tmp_path, **SETTINGS | {"limit": 1})["J"] == 1
    for limit in (0, 2):  # 0: all
        assert run(Colours(), turned, None, tmp_path, **SETTINGS | {"limit": limit})["J"] < 1


def test_a_video_starts_where_its_first_object_does_and_unmarked_frames_do_not_count(tmp_path: Path) -> None:
    clip, masks = bars(frames=8)
    masks[:2] = 0
    corpus = scene([clip], [masks])
    assert corpus.marks is not None
    places = dict(corpus.marks.places)
    del places["00", 4]
    object.__setattr__(corpus.marks, "places", places)
    assert run(Colours(), corpus, None, tmp_path, **SETTINGS)["J&F"] == 1


@pytest.mark.parametrize("corpus", [scene([bars()[0]]), in_training(alone(bars()))])
def test_without_masks_to_judge_there_is_nothing_to_report(corpus: Videos, tmp_path: Path) -> None:
    assert run(Colours(), corpus, None, tmp_path, **SETTINGS) == {}
    assert not list(tmp_path.iterdir())


def test_an_encoder_without_dense_features_is_left_out(tmp_path: Path) -> None:
    assert run(NoMaps(), alone(bars()), None, tmp_path, **SETTINGS) == {}


def test_the_encoder_stays_as_it_was(tmp_path: Path) -> None:
    encoder = tiny().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found = run(encoder, videos(16), None, tmp_path, **SETTINGS | {"side": 32})
    assert 0 < found["J&F"] < 1
    assert encoder.training and all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    again = run(encoder.eval(), videos(16), None, tmp_path, **SETTINGS | {"side": 32})
    assert again == found and not encoder.training


def test_dense_features_are_of_unit_length_and_do_not_depend_on_how_many_frames_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, frames = tiny().eval(), sprites()[0]
    whole = dense(encoder, frames, (64, 96))
    assert whole.shape == (7, 64, 8, 12) and torch.allclose(whole.norm(dim=1), torch.ones(7, 8, 12))
    monkeypatch.setattr("modalities.video.propagation.dense.READ", 2 * 64 * 96)
    torch.testing.assert_close(dense(encoder, frames, (64, 96)), whole, rtol=1e-4, atol=1e-5)


def test_frames_keep_nearly_their_shape() -> None:
    assert fitted(144, 256, 96) == (96, 168)
    assert fitted(240, 135, 64) == (112, 64)
    assert fitted(100, 1, 8) == (800, 8)


def test_the_label_of_a_pixel_is_the_largest_of_its_surroundings() -> None:
    labels = torch.zeros(1, 2, 2, 2)
    labels[0, 0, :, 0], labels[0, 1, :, 1] = 0.9, 1.0
    expected = nn.functional.interpolate(labels, (4, 6), mode="bilinear")[0].argmax(0).numpy()
    found = decided(labels, (4, 6), stretch=False)
    assert np.array_equal(found[0], expected)
    assert found[0, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_faded_object_is_seen_where_labels_are_stretched() -> None:
    object_ = torch.tensor([[0.0, 0.1, 0.3, 0.1]])
    labels = torch.stack([1 - object_, object_])[None]  # (1, 2, 1, 4)
    assert not decided(labels, (1, 4), stretch=False).any()
    assert decided(labels, (1, 4), stretch=True).tolist() == [[[0, 0, 1, 0]]]
    gone = torch.stack([torch.ones(1, 4), torch.zeros(1, 4)])[None]  # no object anywhere: nothing to stretch
    assert not decided(gone, (1, 4), stretch=True).any()
