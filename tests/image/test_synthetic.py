"""Synthetic imagery: labels follow the pictures, each loss is its formula, real pictures teach the critic alone."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.common import adversarial as play
from modalities.common.history import History
from modalities.image.corpus import Images
from modalities.image.encoders import Gray, ImageEncoder, encoder
from modalities.image.pretexts.synthetic import PAST, PlaceCritic, Synthetic
from modalities.image.shared import surfaces
from modalities.image.shared.scenes import views
from modalities.image.shared.surfaces import Surfaces
from tests.conftest import params, pictures

TOY: dict[str, dict[str, Any]] = {
    "build": {"count": 24, "side": 20, "objects": [3, 6]},
    "model": {"channels": 16, "critic_channels": 8},
}


def trunk(side: int = 16) -> ImageEncoder:
    torch.manual_seed(0)
    return encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=side)


def made(
    folder: Path, corpus: Images | None = None, *, build: dict[str, Any] | None = None, **changes: Any
) -> Synthetic:
    block = params()["image"]["pretexts"]["synthetic"]
    corpus = corpus or pictures(24, 20)
    if not (folder / "views.parquet").exists():
        Synthetic.build(corpus, folder, seed=0, **(block["build"] | TOY["build"] | (build or {})))
    return Synthetic(trunk(), corpus, folder, **(block["model"] | TOY["model"] | changes))


def some(pretext: Synthetic, count: int = 8, seed: int = 0) -> dict[str, Tensor]:
    return pretext.batch(np.arange(count), np.random.default_rng(seed))


def test_labels_are_cropped_and_flipped_with_their_picture(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    rows = np.tile(np.arange(24), 4)
    image, true = pretext.rendered(rows, np.random.default_rng(0))
    assert image.shape == (96, 3, 16, 16) and true.depth.shape == (96, 1, 8, 8)
    flips = 0
    for k, row in enumerate(rows):
        stored = torch.from_numpy(np.array(pretext.views.images[row])).permute(2, 0, 1) / 255
        for flip in (False, True):
            seen = image[k].flip(2) if flip else image[k]
            match = [
                (y, x)
                for y in range(5)
                for x in range(5)
                if torch.equal(stored[:, y : y + 16, x : x + 16], seen)
            ]
            if not match:
                continue
            flips += flip
            (y, x), *others = match
            assert not others
            window = (row, slice(y, y + 16), slice(x, x + 16))
            normals = pretext.views.normals[window].astype(np.float32)
            depth = pretext.views.depth[window].astype(np.float32)
            contour = views.contours(pretext.views.ids[window])
            if flip:
                depth, contour, normals = depth[:, ::-1], contour[:, ::-1], normals[:, ::-1].copy()
                normals[..., 0] *= -1
            mine = surfaces.halved(depth[None], normals[None], contour[None])
            for name in Surfaces._fields:
                torch.testing.assert_close(
                    getattr(true, name)[k], getattr(mine, name)[0], rtol=1e-5, atol=1e-5
                )
            break
        else:
            raise AssertionError("a view that was not stored")
    assert 25 < flips < 71
    assert (true.normals[:, 2][true.valid[:, 0]] < 0.9).all()


@pytest.mark.parametrize("gray", [True, False])
def test_an_image_is_one_of_its_channels(gray: bool, tmp_path: Path) -> None:
    pretext = made(tmp_path, gray=gray)
    batch = some(pretext, 24)
    for name in ("image", "made"):
        same = (batch[name] == batch[name][:, :1]).all()
        assert bool(same) == gray
    assert isinstance(pretext.encoder, Gray) == gray
    if gray:
        colours = torch.rand(24, 3, 16, 16)
        drawn = pretext.channel(colours, np.random.default_rng(0))[:, 0]
        channel = (drawn[:, None] == colours).all((2, 3))
        assert (channel.sum(1) == 1).all() and (channel.sum(0) > 2).all()
        assert isinstance(pretext.encoder, Gray)
        torch.testing.assert_close(pretext.encoder.seen(batch["image"]), batch["image"])


def test_alike_features_leave_the_best_critic_in_doubt() -> None:
    torch.manual_seed(0)
    critic = PlaceCritic(8, 8).train()
    features = torch.randn(8, 8, 4, 4)
    last = critic[-1]
    assert isinstance(last, nn.Conv2d)
    for scale in (30.0, 1.0, 0.1):  # no critic does better ...
        nn.init.normal_(last.weight, 0, scale)
        logits = critic(features)
        assert play.critic_loss(logits, logits).item() / 2 >= np.log(2) - 1e-6
    optimizer = torch.optim.SGD(critic.parameters(), 0.1, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        loss = play.critic_loss(critic(features), critic(features)) / 2
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() == pytest.approx(np.log(2), abs=1e-3)  # ... and one that learns gets there


@pytest.mark.parametrize("critic", ["features", "maps"])
def test_no_depth_and_no_normal_is_asked_of_real_pictures(critic: str, tmp_path: Path) -> None:
    pretext = made(tmp_path, critic=critic).train()
    pretext.after_step(1.0)
    batch = some(pretext)
    found = []
    for real in (batch["image"], torch.rand_like(batch["image"])):
        pretext.zero_grad()
        loss = pretext(batch | {"image": real}, 0)["loss"]
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in pretext.parameters() if p.grad is not None)])
    assert len(found[0]) > 30 and all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("critic", ["features", "maps"])
def test_each_player_leaves_the_other_alone(critic: str, tmp_path: Path) -> None:
    pretext = made(tmp_path, critic=critic).train()
    pretext.after_step(1.0)
    maker, judge = pretext.players()
    for player, (mine, other) in enumerate([(maker, judge), (judge, maker)]):
        pretext.zero_grad()
        pretext(some(pretext), player)["loss"].backward()
        assert all(p.grad is not None for p in mine.parameters())
        assert all(p.grad is None for p in other.parameters())


def test_the_loss_is_the_weighted_sum_and_the_critics_say_grows(tmp_path: Path) -> None:
    pretext = made(tmp_path, depth=5.0, normals=10.0, contour=1.0, adversarial=0.05, ramp=0.2).train()
    batch = some(pretext)
    for progress, share in ((0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)):
        pretext.after_step(progress)
        f = {name: value.item() for name, value in pretext(batch, 0).items()}
        whole = 5 * f["depth"] + 10 * f["normals"] + f["contour"] + 0.05 * share * f["adversarial"]
        assert f["loss"] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("adversarial", [0.05, 0.0])
def test_views_and_real_pictures_are_normed_apart_and_real_ones_remembered(
    adversarial: float, tmp_path: Path
) -> None:
    pretext = made(tmp_path, adversarial=adversarial, gray=False).train()
    batch = some(pretext)
    for player in range(len(pretext.players())):
        pretext(batch, player)
    alone = trunk().train()
    alone(batch["image"])
    mine = dict(pretext.encoder.named_buffers())
    for name, value in alone.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=1e-5)
    predicted = pretext.heads(trunk().train().maps(batch["made"])[-1])  # by the views' own statistics
    true = Surfaces(*(batch[name] for name in Surfaces._fields))
    again = surfaces.depth_loss(predicted.depth, true.depth, true.valid)
    torch.testing.assert_close(pretext(batch, 0)["depth"], again, rtol=1e-3, atol=1e-4)


def test_the_critic_is_shown_the_past_once_it_is_full(tmp_path: Path) -> None:
    past = History(4, (2,)).train()
    x = torch.arange(6.0).view(3, 2)
    none, all_ = torch.full((3,), -1), torch.tensor([0, 0, 3])
    assert torch.equal(past(x, all_), x) and int(past.filled) == 3  # not full: nothing is exchanged
    assert torch.equal(past(x + 10, none), x + 10) and int(past.filled) == 4
    assert torch.equal(past.kept, torch.cat([x, x[:1] + 10]))
    kept = past.kept.clone()
    assert torch.equal(past(x + 20, none), x + 20) and torch.equal(past.kept, kept)
    found = past(x + 30, all_)
    assert torch.equal(found, torch.stack([kept[0], kept[0], kept[3]]))
    assert torch.equal(
        past.kept, torch.stack([x[1] + 30, kept[1], kept[2], x[2] + 30])
    )  # the last of two stays
    past.eval()
    assert torch.equal(past(x, all_), x)
    places = History.draw(np.random.default_rng(0), 4000, 128)
    assert (places < 0).float().mean() == pytest.approx(0.5, abs=0.03)
    assert places.max() == 127 and len(set(places.tolist())) == 129


def test_the_critics_turn_alone_keeps_the_past_and_only_in_training(tmp_path: Path) -> None:
    pretext = made(tmp_path).train()
    batch = some(pretext)
    pasts = [past for past in pretext.past if isinstance(past, History)]
    pretext(batch, 0)
    assert [int(past.filled) for past in pasts] == [0, 0]  # the encoder's turn leaves it alone
    for _ in range(PAST // 8 + 1):
        pretext(batch, 1)
    assert [int(past.filled) for past in pasts] == [PAST, PAST]
    before = [past.kept.clone() for past in pasts]
    pretext.eval()
    pretext(batch, 1)
    assert all(torch.equal(a, past.kept) for a, past in zip(before, pasts, strict=True))


def test_the_critic_has_batch_norm_from_its_second_layer_and_an_answer_a_place() -> None:
    critic = PlaceCritic(32, 64)
    kinds = [type(layer).__name__ for layer in critic]
    assert kinds == [
        "Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Conv2d"
    ]  # fmt: skip
    convs = [layer for layer in critic if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [64, 128, 256, 1]
    assert [c.stride[0] for c in convs] == [1, 2, 2, 1]
    assert critic(torch.randn(2, 32, 8, 8)).shape == (2, 1, 2, 2)


def test_chance_is_the_best_answer_at_each_place(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    true = pretext.rendered(np.arange(24), np.random.default_rng(0))[1]
    chance = pretext.chance()
    guess = [torch.zeros(1, k, 8, 8, requires_grad=True) for k in (1, 3, 1)]
    with torch.no_grad():
        guess[1] += torch.randn_like(guess[1]) * 0.1
    optimizer = torch.optim.Adam(guess, 0.03)
    for _ in range(600):
        optimizer.zero_grad()
        depth = surfaces.depth_error(guess[0].expand_as(true.depth), true.depth, true.valid)
        face = F.normalize(guess[1], dim=1).expand_as(true.normals)
        normals = ((1 - (face * true.normals).sum(1, keepdim=True)) * true.valid).mean()
        contour = surfaces.contour_loss(guess[2].expand_as(true.contour), true.contour)
        torch.autograd.backward(depth + normals + contour)
        optimizer.step()
    assert chance["depth_error"] == pytest.approx(depth.item(), rel=0.03)
    assert chance["contour"] == pytest.approx(contour.item(), rel=0.03)
    assert chance["player1.accuracy"] == 0.5
    mine = surfaces.normal_error(
        F.normalize(guess[1], dim=1).expand_as(true.normals), true.normals, true.valid
    )
    assert chance["normal_error"] == pytest.approx(mine.item(), rel=0.03)
    assert set(chance) - {"player1.accuracy"} <= set(pretext(some(pretext)))


def test_pictures_of_the_corpus_can_be_textures(tmp_path: Path) -> None:
    for name in ("drawn", "corpus"):
        (tmp_path / name).mkdir()
    plain, textured = (made(tmp_path / name, build={"texture": name}) for name in ("drawn", "corpus"))
    assert not np.array_equal(plain.views.images, textured.views.images)
    for field in fields(views.Views):
        if field.name != "images":  # what is asked is drawn before any colour
            assert np.array_equal(getattr(plain.views, field.name), getattr(textured.views, field.name))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"critic": "pixels"}, r"model\.critic is pixels; use features or maps"),
        ({"depth": -1.0}, r"model\.depth is -1\.0"),
        ({"normals": -1.0}, r"model\.normals is -1\.0"),
        (
            {"depth": 0.0, "normals": 0.0, "contour": 0.0},
            r"model\.contour is 0\.0; use a weight; some must be above 0",
        ),
        ({"adversarial": -0.1}, r"model\.adversarial is -0\.1"),
        ({"ramp": 0.0}, r"model\.ramp is 0\.0"),
        ({"channels": 0}, r"model\.channels is 0"),
        ({"critic_channels": 0}, r"model\.critic_channels is 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, build={"count": 2}, **changes)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ({"count": 0}, r"build\.count is 0; use at least 1"),
        ({"side": 4}, r"build\.side is 4; use at least 8"),
        ({"objects": [3]}, r"build\.objects is \[3\]; use two numbers"),
        ({"objects": [5, 2]}, r"build\.objects is \[5, 2\]"),
        ({"texture": "wood"}, r"build\.texture is wood; use drawn"),
        ({"side": 12, "count": 2}, r"build\.side is 12, but image\.encoder\.side is 16; render larger views"),
    ],
)
def test_bad_builds_are_refused(build: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, build=build)
