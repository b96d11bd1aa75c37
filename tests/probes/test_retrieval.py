"""Retrieval against scikit-learn and torchmetrics, query by query."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from modalities.probes import retrieval
from tests.probes.blobs import blobs


def test_hits_and_mean_average_precision_equal_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchmetrics.retrieval import RetrievalMAP

    features = blobs()
    gallery, labels, _ = features.labelled("train")
    queries, truth, _ = features.labelled("test")
    near = cosine_similarity(queries.astype(np.float64), gallery.astype(np.float64))
    precision = [average_precision_score(labels == y, row) for y, row in zip(truth, near, strict=True)]
    monkeypatch.setattr(retrieval, "CELLS", 7 * len(gallery))
    found = retrieval.run(features, seed=0, k=[1, 5, 10**6])
    assert found["mAP"] == pytest.approx(np.mean(precision), abs=1e-4)
    other = RetrievalMAP()(
        torch.from_numpy(near).flatten(),
        torch.from_numpy(labels[None] == truth[:, None]).flatten(),
        torch.arange(len(queries)).repeat_interleave(len(gallery)),
    )
    assert found["mAP"] == pytest.approx(float(other), abs=1e-4)
    model = NearestNeighbors(metric="cosine").fit(gallery)
    for k in (1, 5):
        index = model.kneighbors(queries, k, return_distance=False)
        assert found[f"hit@{k}"] == pytest.approx((labels[index] == truth[:, None]).any(1).mean())
    assert "hit@1000000" not in found


def test_chance_is_that_of_a_shuffled_order() -> None:
    features = blobs(200)
    found = retrieval.run(features, seed=0, k=[1, 5])
    _, labels, _ = features.labelled("train")
    _, truth, _ = features.labelled("test")
    rng = np.random.default_rng(0)
    shuffled = np.array([[rng.permutation(labels) for _ in truth] for _ in range(200)])  # (200, M, G)
    right = shuffled == truth[:, None]
    for k in (1, 5):
        assert found[f"hit@{k}.chance"] == pytest.approx(right[..., :k].any(2).mean(), abs=0.03)
    flat = torch.from_numpy(right.reshape(-1, len(labels)))
    assert found["mAP.chance"] == pytest.approx(float(retrieval.average_precision(flat).mean()), abs=0.03)


def test_a_class_that_the_gallery_lacks_is_not_asked_for() -> None:
    features = blobs()
    features.labels[(features.labels == 0) & (features.splits == "train")] = -1
    kept = blobs()
    kept.labels[kept.labels == 0] = -1
    assert retrieval.run(features, seed=0, k=[1]) == retrieval.run(kept, seed=0, k=[1])
    with pytest.raises(ValueError, match=r"probes\.retrieval\.k is \[0\]"):
        retrieval.run(features, seed=0, k=[0])
    features.labels[features.splits == "train"] = 1
    features.labels[features.splits == "test"] = 2
    with pytest.raises(ValueError, match="nothing to find"):
        retrieval.run(features, seed=0, k=[1])
