"""DeepCluster: labels are those of the very pictures that are read, and each version trains on them its own way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Batch, Encode, Index
from modalities.common.whitening import whitened
from modalities.image.corpus import Images
from modalities.image.encoders import ResNet, Sobel, encoder
from modalities.image.pretexts.deepcluster import DeepCluster
from modalities.image.shared import multicrop
from stages import loop
from tests import test_contract
from tests.conftest import params, pictures, train_keys
from tests.image.test_multicrop import greys
from tests.ranks import two_ranks

MODEL = params()["image"]["pretexts"]["deepcluster"]["model"]
CROPS = MODEL["crops"] | {"count": 2}
SMALL = {
    "clusters": 6,
    "iterations": 8,
    "passes": 1,
    "components": 32,
    "hidden": 32,
    "dim": 16,
    "crops": CROPS,
}
TOY: dict[str, Any] = {"model": SMALL}
V2: dict[str, Any] = SMALL | {"version": "v2", "sobel": False}


def made(corpus: Images, folder: Path, **changes: Any) -> DeepCluster:
    torch.manual_seed(0)
    trunk = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)
    return DeepCluster(trunk, corpus, folder, **(MODEL | SMALL | changes))


def encoding(pretext: DeepCluster) -> Encode:
    """As the loop does it."""

    def encode(index: Index) -> Tensor:
        training = pretext.encoder.training
        with torch.no_grad():
            found: Tensor = pretext.encoder.eval()(pretext.encoder.read(pretext.corpus, index))
        pretext.encoder.train(training)
        return found

    return encode


def drawn(pretext: DeepCluster, count: int = 8) -> Batch:
    return pretext.batch(np.arange(count), np.random.default_rng(0))


def test_all_pictures_are_clustered_in_their_order_by_whitened_features(
    toy_images: Images, tmp_path: Path
) -> None:
    pretext, asked = made(toy_images, tmp_path), []

    def encode(index: Index) -> Tensor:
        asked.append(index)
        return encoding(pretext)(index)

    pretext.before_epoch(encode)
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(48))
    with torch.no_grad():
        features = pretext.projector.eval()(encode(np.arange(48)))
    points = F.normalize(whitened(features, 32), dim=1)
    labels = pretext.assigned.labels[0]
    means = torch.stack([points[labels == k].mean(0) for k in range(6)])
    # k-means has come to rest, or nearly: most points are nearest to the mean of the cluster that they are in.
    assert ((torch.cdist(points, means).argmin(1) == labels).float().mean()) > 0.9
    assert pretext.training and pretext.projector.training is False  # left as this test put it


def test_a_batch_holds_the_pictures_of_the_order_and_their_labels(tmp_path: Path) -> None:
    pretext = made(greys(), tmp_path, sobel=False)
    pretext.before_epoch(encoding(pretext))
    index = np.array([5, 0, 23, 7, 11])
    batch = pretext.batch(index, np.random.default_rng(0))
    rows = pretext.order[torch.from_numpy(index)]
    assert torch.equal(batch["index"], rows) and not torch.equal(rows, torch.from_numpy(index))
    torch.testing.assert_close(batch["image"].mean((1, 2, 3)), (rows + 1) * 10 / 255, atol=2e-3, rtol=0)
    pretext.eval()
    with torch.no_grad():
        logits = pretext.head(F.relu(pretext.projector(pretext.encoder(batch["image"]))))
        target = pretext.assigned.labels[0][rows]
        found = pretext(batch)
    torch.testing.assert_close(found["loss"], F.cross_entropy(logits, target))
    assert float(found["accuracy"]) == pytest.approx(float((logits.argmax(1) == target).float().mean()))


def test_the_order_has_all_clusters_alike(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    pretext.before_epoch(encoding(pretext))
    counts = torch.bincount(pretext.assigned.labels[0][pretext.order], minlength=6)
    filled = counts[torch.bincount(pretext.assigned.labels[0], minlength=6) > 0]
    assert int(filled.max() - filled.min()) <= 1
    found = pretext(drawn(pretext))
    assert float(found["accuracy.chance"]) == pytest.approx(1 / len(filled))
    assert float(found["empty"]) == 6 - len(filled)


def test_an_epoch_may_be_several_passes(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, passes=3)
    pretext.before_epoch(encoding(pretext))
    assert pretext.samples() == len(pretext.order) == 144
    last = pretext.batch(np.arange(136, 144), np.random.default_rng(0))
    assert torch.equal(last["index"], pretext.order[136:])
    assert made(toy_images, tmp_path, **(V2 | {"passes": 3})).samples() == 48


def test_the_head_starts_anew_and_says_so(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    pretext.head.bias.data.fill_(5)
    reset = pretext.before_epoch(encoding(pretext))
    assert [id(p) for p in reset] == [id(p) for p in pretext.head.parameters()]
    assert (pretext.head.bias == 0).all()
    assert float(pretext.head.weight.detach().std()) == pytest.approx(0.01, rel=0.15)
    assert float(pretext(drawn(pretext))["loss"].detach()) == pytest.approx(np.log(6), abs=0.05)


def test_agreement_is_with_the_last_epoch(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path)
    found = []
    for seed in (1, 1):  # the same network and start: the same clusters
        torch.manual_seed(seed)
        pretext.before_epoch(encoding(pretext))
        found.append(float(pretext.assigned.metrics()["nmi"]))
    assert found == [pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6)]


def test_edges_are_all_that_is_seen(toy_images: Images, tmp_path: Path) -> None:
    pretext = made(toy_images, tmp_path, sobel=True)
    assert isinstance(pretext.encoder, Sobel) and isinstance(pretext.encoder.encoder, ResNet)
    assert pretext.encoder.encoder.spec["channels"] == 2
    pretext.eval()
    image = torch.rand(2, 3, 16, 16) / 2
    hue = torch.tensor([0.114, 0.0, -0.299]).view(3, 1, 1)  # changes red and blue, not luma
    with torch.no_grad():
        torch.testing.assert_close(pretext.encoder(image + 0.25), pretext.encoder(image + hue + 0.25))
    assert isinstance(made(toy_images, tmp_path, sobel=False).encoder, ResNet)


def test_reading_ahead_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    states = []
    for ahead in (0, 3):
        pretext = made(pictures(48, 20), tmp_path)
        keys = train_keys(samples=96, batch=16, read_ahead=ahead)
        loop.fit(pretext, seed=0, scratch=tmp_path / "scratch", label="toy", **keys)
        states.append(pretext.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_v2_clusters_what_the_last_epoch_projected(tmp_path: Path, toy_images: Images) -> None:
    pretext = made(toy_images, tmp_path, **V2)
    assert pretext.before_epoch(encoding(pretext)) == []
    with torch.no_grad():
        plain = F.normalize(pretext.projector.eval()(encoding(pretext)(np.arange(48))), dim=1)
    pretext.train()
    torch.testing.assert_close(pretext.memory, plain.expand(2, -1, -1))
    for start in (0, 24):
        rows = np.arange(start, start + 24)[::-1].copy()
        batch = pretext.batch(rows, np.random.default_rng(start))
        assert batch["index"].tolist() == rows.tolist()
        before = {name: value.clone() for name, value in pretext.state_dict().items()}
        with torch.no_grad():
            vectors = multicrop.encoded(pretext.encoder, batch)[:4]
            z = F.normalize(pretext.projector(vectors.flatten(0, 1)), dim=1).view(4, 24, -1)
        pretext.load_state_dict(before)
        pretext(batch)
        torch.testing.assert_close(pretext.memory[:, rows], z[:2])
    pretext.before_epoch(encoding(pretext))
    torch.testing.assert_close(pretext.centroids.norm(dim=2), torch.ones(3, 6))
    for k in range(3):
        scores = pretext.memory[k % 2] @ pretext.centroids[k].T
        assert torch.equal(scores.argmax(1), pretext.assigned.labels[k])


def test_v2_asks_every_view_for_every_clustering(tmp_path: Path, toy_images: Images) -> None:
    pretext = made(toy_images, tmp_path, **V2)
    pretext.before_epoch(encoding(pretext))
    pretext.eval()
    batch = drawn(pretext)
    memory = pretext.memory.clone()
    with torch.no_grad():
        vectors = multicrop.encoded(pretext.encoder, batch)  # (4, 8, D)
        losses, hits = [], []
        for k in range(3):
            for view in vectors:
                logits = F.normalize(pretext.projector(view), dim=1) @ pretext.centroids[k].T / 0.1
                target = pretext.assigned.labels[k, :8]
                losses.append(F.cross_entropy(logits, target))
                hits.append((logits.argmax(1) == target).float().mean())
        found = pretext(batch)
    torch.testing.assert_close(found["loss"], torch.stack(losses).mean())
    torch.testing.assert_close(found["accuracy"], torch.stack(hits).mean())
    sizes = [torch.bincount(labels).max() / 48 for labels in pretext.assigned.labels]
    torch.testing.assert_close(found["accuracy.chance"], torch.stack(sizes).mean())
    assert torch.equal(pretext.memory, memory)  # judging remembers nothing
    assert not any("centroids" in name for name, _ in pretext.named_parameters())


def test_v2_resumes_reloads_and_can_be_drawn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TOY, "model", V2)
    test_contract.test_a_run_killed_at_any_step_ends_in_the_same_bits(
        "image deepcluster", tmp_path / "resume", monkeypatch
    )
    test_contract.test_the_loss_falls_over_twenty_steps_on_one_batch("image deepcluster", tmp_path / "falls")
    test_contract.test_the_task_can_be_drawn("image deepcluster", tmp_path / "drawn")


SETTINGS: dict[str, dict[str, Any]] = {"v1": {}, "v2": V2}


def stepped(folder: Path, setting: str, rank: int, world: int) -> dict[str, Tensor]:
    """State and losses of two epochs of two steps over joined batches of eight."""
    pretext = made(pictures(47, 20), folder, **SETTINGS[setting]).train()
    module = loop.parallel(pretext, 1, torch.device("cpu"))
    optimizer = torch.optim.SGD(pretext.parameters(), 1e-4)
    losses = []
    for step in range(4):
        torch.manual_seed(step)
        if step % 2 == 0:
            pretext.before_epoch(encoding(pretext))
        index = np.arange(8 * step, 8 * step + 8)
        batch = pretext.batch(index, np.random.default_rng(step))
        pretext.zero_grad()
        loss = module(test_contract.share(rank, batch, world))["loss"]
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses)} | {n: v.clone() for n, v in pretext.state_dict().items()}


def one_rank(rank: int, folder: Path) -> None:
    for setting in SETTINGS:
        torch.save(stepped(folder, setting, rank, 2), folder / f"{setting} {rank}.pt")


def test_two_processes_cluster_and_train_as_one_does(tmp_path: Path) -> None:
    two_ranks(one_rank, tmp_path)
    for setting in SETTINGS:
        one = stepped(tmp_path, setting, 0, 1)
        two = [torch.load(tmp_path / f"{setting} {rank}.pt", weights_only=True) for rank in (0, 1)]
        mean = (two[0]["losses"] + two[1]["losses"]) / 2
        torch.testing.assert_close(mean, one["losses"], rtol=1e-3, atol=1e-4)
        for name in one.keys() - {"losses"}:
            assert torch.equal(two[0][name], two[1][name]), f"{setting}: {name} differs between ranks"
            torch.testing.assert_close(
                two[0][name], one[name], rtol=1e-3, atol=1e-4, msg=f"{setting}: {name}"
            )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "v3"}, r"deepcluster\.model\.version is v3; use v1 or v2"),
        ({"clusters": 49}, r"deepcluster\.model\.clusters is 49; use 2 to 48, the pictures"),
        ({"clusters": 1}, r"deepcluster\.model\.clusters is 1; use 2"),
        ({"iterations": 0}, r"deepcluster\.model\.iterations is 0; use at least 1"),
        ({"passes": 0}, r"deepcluster\.model\.passes is 0; use at least 1"),
        ({"components": 0}, r"deepcluster\.model\.components is 0; use at least 1"),
        ({"clusterings": 0}, r"deepcluster\.model\.clusterings is 0; use at least 1"),
        ({"temperature": 0.0}, r"deepcluster\.model\.temperature is 0\.0; use a positive"),
        (V2 | {"crops": CROPS | {"share": 0.1}}, r"deepcluster\.model\.crops\.share is 0\.1"),
    ],
)
def test_bad_settings_are_refused(
    changes: dict[str, Any], message: str, toy_images: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        made(toy_images, tmp_path, **changes)
