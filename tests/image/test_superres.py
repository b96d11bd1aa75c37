"""Super-resolution: what is small is a fair reduction, two play apart, and quality is measured as the field does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.common import adversarial as play
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder, encoder
from modalities.image.pretexts.superres import SuperRes
from modalities.image.shared.restoring import Generator, Through
from stages import store
from tests.conftest import params, pictures

TOY: dict[str, dict[str, Any]] = {"model": {"channels": 8, "blocks": 1}}


def trunk(seed: int = 0) -> ImageEncoder:
    torch.manual_seed(seed)
    return encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=16)


def made(folder: Path, corpus: Images | None = None, *, frozen: str = "", **changes: Any) -> SuperRes:
    corpus = corpus or pictures(24, 20)
    SuperRes.build(corpus, folder, seed=0, frozen=frozen)
    model = params()["image"]["pretexts"]["superres"]["model"]
    return SuperRes(trunk(), corpus, folder, **(model | {"channels": 8, "blocks": 1} | changes))


class Bicubic(nn.Module):
    """A generator that only enlarges."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.enlarge = generator.enlarge

    def forward(self, small: Tensor) -> Tensor:
        found: Tensor = 2 * self.enlarge(small) - 1
        return found


def test_pixel_shuffle_is_the_slow_loop() -> None:
    grow = Generator(16, channels=3, blocks=1).grow[0]
    assert isinstance(grow, nn.Sequential) and isinstance(grow[1], nn.PixelShuffle)
    x = torch.randn(2, 12, 4, 5)
    slow = torch.empty(2, 3, 8, 10)
    for c in range(3):
        for y in range(8):
            for x_ in range(10):
                slow[:, c, y, x_] = x[:, 4 * c + 2 * (y % 2) + x_ % 2, y // 2, x_ // 2]
    assert torch.equal(grow[1](x), slow)


def test_the_small_picture_is_the_bicubic_of_pillow_and_torch(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    images = pretext.batch(np.arange(8), np.random.default_rng(0))["image"]
    small = pretext.small(images)
    theirs = F.interpolate(images, size=4, mode="bicubic", antialias=True).clamp(0, 1)
    assert small.shape == (8, 3, 4, 4) and (small - theirs).abs().max() < 1e-3
    for image, mine in zip(images, small, strict=True):
        for channel in range(3):
            pillow = Image.fromarray(image[channel].numpy(), "F").resize((4, 4), Image.Resampling.BICUBIC)
            assert np.abs(np.asarray(pillow).clip(0, 1) - mine[channel].numpy()).max() < 1e-3
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2  # the nearest pixel would see one of the two
    grey = pretext.small(checks.float().expand(1, 3, 16, 16))
    assert (grey - 0.5).abs().max() < 0.1


def test_with_bicubic_for_a_generator_content_is_its_psnr(tmp_path: Path) -> None:
    pretext = made(tmp_path)
    assert isinstance(pretext.generator, Generator)
    pretext.generator = Bicubic(pretext.generator)  # type: ignore[assignment]
    for k in range(4):
        batch = pretext.batch(np.array([k]), np.random.default_rng(0))
        small = F.interpolate(batch["image"], size=4, mode="bicubic", antialias=True).clamp(0, 1)
        large = F.interpolate(small, size=16, mode="bicubic", antialias=True)
        error = float((255 * (large - batch["image"])).square().mean())
        by_hand = 10 * np.log10(255**2 / error)
        found = pretext(batch)
        assert found["content"].item() == pytest.approx(
            4 * 10 ** (-by_hand / 10), rel=1e-4
        )  # [-1, 1]: twice as far
        assert float(found["psnr"]) == pytest.approx(float(found["psnr.chance"]), rel=1e-6)
        clipped = float((large.clamp(0, 1) - batch["image"]).square().mean())
        assert float(found["psnr"]) == pytest.approx(-10 * np.log10(clipped), rel=1e-4)


def test_a_generator_starts_as_bicubic_and_learns(tmp_path: Path) -> None:
    pretext = made(tmp_path).train()
    batch = pretext.batch(np.arange(16), np.random.default_rng(0))
    found = pretext(batch)
    assert float(found["psnr"]) == pytest.approx(float(found["psnr.chance"]), abs=1e-4)
    optimizer = torch.optim.Adam(pretext.generator.parameters(), 3e-3)
    for _ in range(40):
        pretext.zero_grad()
        pretext(batch)["loss"].backward()
        optimizer.step()
    found = pretext(batch)
    assert found["psnr"] > found["psnr.chance"] + 1 and found["ssim"] > found["ssim.chance"]


@pytest.mark.parametrize("place", ["critic", "generator"])
@pytest.mark.parametrize("content", ["mse", "trunk"])
def test_each_player_leaves_the_other_alone(place: str, content: str, tmp_path: Path) -> None:
    pretext = made(tmp_path, trunk=place, content=content).train()
    pretext.after_step(1.0)
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    generator, critic = pretext.players()
    for player, (mine, other) in enumerate([(generator, critic), (critic, generator)]):
        pretext.zero_grad()
        pretext(batch, player)["loss"].backward()
        assert all(p.grad is not None for p in mine.parameters())
        assert all(p.grad is None or not p.grad.any() for p in other.parameters())
    owned = {id(p) for p in (critic if place == "critic" else generator).parameters()}
    assert {id(p) for p in pretext.encoder.parameters()} <= owned


def test_the_encoder_is_the_critics_trunk_and_remembers_real_pictures_alone(tmp_path: Path) -> None:
    pretext = made(tmp_path, penalty=0.0).train()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    before = {name: x.clone() for name, x in pretext.encoder.named_buffers()}
    pretext(batch, 0)
    moved = {n for n, x in pretext.encoder.named_buffers() if not torch.equal(x, before[n])}
    assert all(name.endswith("num_batches_tracked") for name in moved)
    pretext(batch, 1)
    alone = trunk().train()
    alone(batch["image"])
    for name, value in alone.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(
                dict(pretext.encoder.named_buffers())[name], value, rtol=1e-4, atol=1e-5
            )


def test_real_and_restored_are_judged_apart_with_labels_smooth_on_one_side(tmp_path: Path) -> None:
    pretext = made(tmp_path, penalty=0.0, smooth=0.9).train()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    found = pretext(batch, 1)
    with torch.no_grad():
        restored = (pretext.generator(pretext.small(batch["image"])) + 1) / 2
        row = pretext.critic.head.weight / pretext.critic.head.weight.norm()
        score = [
            torch.sigmoid(pretext.encoder(images) @ row[0] + pretext.critic.head.bias)
            for images in (batch["image"], restored)
        ]
    cost = -(0.9 * score[0].log() + 0.1 * (1 - score[0]).log()).mean() - (1 - score[1]).log().mean()
    torch.testing.assert_close(found["loss"], cost, rtol=1e-4, atol=1e-5)
    right = ((score[0] > 0.5).float().mean() + (score[1] <= 0.5).float().mean()) / 2
    assert found["accuracy"] == right


def test_pixels_count_alone_until_the_critic_is_ramped_in(tmp_path: Path) -> None:
    pretext = made(tmp_path, alone=0.1, adversarial=0.5).train()
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    for progress, share in ((0.0, 0.0), (0.1, 0.0), (0.15, 0.5), (0.2, 1.0), (1.0, 1.0)):
        pretext.after_step(progress)
        found = pretext(batch)
        extra = found["loss"] - found["content"]
        assert extra.item() == pytest.approx(0.5 * share * found["adversarial"].item(), abs=1e-5)
    mse = found["content"].item()
    maps = made(tmp_path, content="trunk", alone=0.1).train()
    assert maps(batch)["content"].item() == pytest.approx(mse, rel=1e-5)  # at the start
    maps.after_step(1.0)
    assert maps(batch)["content"].item() != pytest.approx(mse, rel=1e-2)


def test_the_penalty_is_half_the_squared_slope_every_so_many_steps(tmp_path: Path) -> None:
    pretext = made(tmp_path, penalty=2.0, penalty_every=3).train()
    batch = pretext.batch(np.arange(4), np.random.default_rng(0))
    real = 2 * batch["image"] - 1
    slopes = []
    pretext.eval()
    for one in real:
        shown = one[None].requires_grad_()
        pretext.critic(shown).sum().backward()
        assert shown.grad is not None
        slopes.append(float(shown.grad.square().sum()) / 2)
    assert play.penalty(pretext.critic, real).item() == pytest.approx(np.mean(slopes), rel=1e-4)
    assert not pretext.critic.training
    plain = made(tmp_path, penalty=0.0).train()
    state = plain.state_dict()
    for step in range(5):
        pretext.load_state_dict(state)
        pretext.train().step.fill_(step)
        plain.load_state_dict(state)
        with torch.no_grad():
            bare = plain(batch, 1)["loss"].item()
        more = pretext(batch, 1)["loss"].item() - bare
        after = play.penalty(pretext.critic, real).item()  # by the statistics that this turn remembered
        assert more == pytest.approx(6 * after if step in (0, 3) else 0, rel=1e-3, abs=1e-5)


def test_maps_of_the_trunk_are_compared_as_shares_and_teach_the_generator_alone(tmp_path: Path) -> None:
    pretext = made(tmp_path, content="trunk").train()
    real = torch.rand(4, 3, 16, 16) * 2 - 1
    assert pretext.likeness(real, real).item() == pytest.approx(0, abs=1e-8)
    other = torch.rand(4, 3, 16, 16) * 2 - 1
    maps = [pretext.encoder.maps((x + 1) / 2) for x in (other, real)]
    each = [(a - b).square().mean() / b.square().mean() for a, b in zip(*maps, strict=True)]
    torch.testing.assert_close(pretext.likeness(other, real), torch.stack(each).mean(), rtol=1e-4, atol=1e-5)


def test_a_frozen_encoder_is_copied_and_never_moves(tmp_path: Path) -> None:
    other = trunk(1)
    store.save_encoder(other, tmp_path / "moco", modality="image", method="moco", seed=0)
    (tmp_path / "built").mkdir()
    pretext = made(tmp_path / "built", content="frozen", frozen=str(tmp_path / "moco")).train()
    assert pretext.frozen is not None and not pretext.frozen.encoder.training
    before = {name: x.clone() for name, x in pretext.frozen.state_dict().items()}
    batch = pretext.batch(np.arange(8), np.random.default_rng(0))
    pretext.after_step(1.0)
    pretext(batch)["loss"].backward()
    assert all(torch.equal(x, before[n]) for n, x in pretext.frozen.state_dict().items())
    assert all(p.grad is None for p in pretext.frozen.parameters())
    assert {id(p) for p in pretext.frozen.parameters()}.isdisjoint(
        id(p) for player in pretext.players() for p in player.parameters()
    )
    torch.testing.assert_close(before["encoder.stem.0.weight"], other.state_dict()["stem.0.weight"])


def test_a_frozen_encoder_has_seen_no_label(tmp_path: Path) -> None:
    store.save_encoder(trunk(), tmp_path / "labels", modality="image", method="supervised", seed=0)
    with pytest.raises(ValueError, match="trained on labels; use a self-supervised one"):
        made(tmp_path, frozen=str(tmp_path / "labels"))
    with pytest.raises(FileNotFoundError, match=r"build\.frozen: .* holds no encoder"):
        made(tmp_path, frozen=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r'content is frozen, but superres\.build\.frozen is ""'):
        made(tmp_path, content="frozen")


def test_in_the_generator_nothing_goes_around_the_deepest_map(tmp_path: Path) -> None:
    pretext = made(tmp_path, trunk="generator").eval()
    assert isinstance(pretext.generator, Through)
    small = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        deep = pretext.encoder.maps(pretext.generator.body.enlarge(small).clamp(0, 1))[-1]
        added = pretext.generator.last(pretext.generator.up(deep))
        torch.testing.assert_close(pretext.generator(small) - pretext.generator.body(small), added)
    assert pretext.critic.encoder is not pretext.encoder
    assert pretext.critic.encoder.spec == pretext.encoder.spec


def test_what_is_asked_for_is_never_an_enlarged_picture(tmp_path: Path) -> None:
    # Stripes of one pixel: enlarged they would not reach black and white any more.
    corpus = pictures(24, 24)
    for shard in corpus.shards:
        shard[:] = np.where(np.arange(24) % 2, 255, 0)[None, None, :, None]
    pretext = made(tmp_path, corpus)
    images = pretext.batch(np.tile(np.arange(24), 8), np.random.default_rng(0))["image"]
    cut = images[(images.amin((1, 2, 3)) == 0) & (images.amax((1, 2, 3)) == 1)]
    stripes = cut[:, 0, 0] > 0.5
    assert len(cut) > 5 and (stripes[:, 1:] != stripes[:, :-1]).all()
    assert stripes[:, 0].any() and not stripes[:, 0].all()  # they start anywhere


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trunk": "both"}, r"model\.trunk is both; use critic or generator"),
        ({"content": "vgg"}, r"model\.content is vgg; use mse, trunk or frozen"),
        ({"adversarial": -1.0}, r"model\.adversarial is -1\.0; use at least 0"),
        ({"alone": 0.6}, r"model\.alone is 0\.6"),
        ({"smooth": 0.5}, r"model\.smooth is 0\.5"),
        ({"penalty": -1.0}, r"model\.penalty is -1\.0"),
        ({"penalty_every": 0}, r"model\.penalty_every is 0"),
        ({"channels": 0}, r"model\.channels is 0"),
        ({"blocks": 0}, r"model\.blocks is 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        made(tmp_path, **changes)


def test_pictures_without_detail_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pictures of 12 pixels, image\.encoder\.side is 16"):
        made(tmp_path, pictures(8, 12))
    model = params()["image"]["pretexts"]["superres"]["model"]
    odd = encoder(arch="resnet18", width=8, stem="3x3", norm="batch", side=18)
    with pytest.raises(ValueError, match=r"image\.encoder\.side is 18; superres needs a multiple of 4"):
        SuperRes(odd, pictures(8, 20), tmp_path, **model)
