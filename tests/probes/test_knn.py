"""kNN against scikit-learn, in blocks as in one, and its ties."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from modalities.probes import knn
from tests.probes.blobs import blobs


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (75, 0.1)])
def test_predictions_equal_those_of_scikit_learn(
    k: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "QUERIES", 7)  # so the last block is a part
    monkeypatch.setattr(knn, "PART", 40)  # fewer than the most neighbours
    features = blobs()
    bank, labels, _ = features.labelled("train")
    queries, truth, _ = features.labelled("test")

    def weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp((1 - distance) / temperature)

    twin = KNeighborsClassifier(k, metric="cosine", weights=weights).fit(bank, labels)
    mine = knn.nearest(
        torch.from_numpy(queries),
        torch.from_numpy(bank),
        torch.from_numpy(labels),
        k=k,
        temperature=temperature,
    )
    np.testing.assert_array_equal(mine.numpy(), twin.predict(queries))
    found = knn.run(features, seed=0, k=k, temperature=temperature)
    assert found["accuracy"] == pytest.approx(twin.score(queries, truth))


def test_chance_is_the_best_that_one_answer_for_all_scores() -> None:
    features = blobs()
    truth = features.labels[features.splits == "test"]
    found = knn.run(features, seed=0, k=5, temperature=0.1)
    assert found["accuracy.chance"] == pytest.approx(
        max(np.mean(truth == one) for one in set(truth.tolist()))
    )
    assert found["accuracy"] > 1.5 * found["accuracy.chance"]


def test_ties_go_to_the_lowest_class() -> None:
    bank = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 0.0], [-1.0, 0.1]])
    query = torch.tensor([[2.0, 0.0]])
    for labels in ([2, 1, 0, 0], [1, 2, 0, 0]):
        assert knn.nearest(query, bank, torch.tensor(labels), k=2, temperature=0.07).item() == 1


def test_a_tiny_temperature_is_the_nearest_neighbour_not_a_nan() -> None:
    features = blobs()
    one = knn.run(features, seed=0, k=1, temperature=1.0)
    assert knn.run(features, seed=0, k=30, temperature=1e-7) == one


def test_samples_without_a_label_are_neither_bank_nor_query() -> None:
    features = blobs()
    features.vectors[:100] = 1e3
    features.labels[:100] = -1
    rest = blobs()
    keep = np.arange(100, 400)
    cut = type(rest)(rest.vectors[keep], rest.labels[keep], rest.splits[keep], rest.ids[100:], rest.classes)
    assert knn.run(features, seed=0, k=20, temperature=0.07) == knn.run(cut, seed=0, k=20, temperature=0.07)


def test_too_many_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match=r"probes\.knn\.k is 151, but 300 .* use 1 to 150"):
        knn.run(blobs(), seed=0, k=151, temperature=0.07)
    with pytest.raises(ValueError, match=r"probes\.knn\.temperature is 0"):
        knn.run(blobs(), seed=0, k=5, temperature=0.0)
