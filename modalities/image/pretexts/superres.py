"""Super-resolution: restore a picture a quarter as large, while a critic tells what is restored from what is real.

Ledig et al., CVPR 2017, arXiv:1609.04802 (SRGAN). The encoder is the trunk of the critic: it sees real pictures at full
size, as downstream does, and narrows to one vector. `trunk: generator` puts it into the generator, between the enlarged
small picture and what is added to the restored one; the critic then has a fresh one like it.

The paper's content loss is on maps of a VGG trained on labels, which would teach by the back door. Here `content` is
mse (of pixels), trunk (the critic's own maps, detached) or frozen (of an exported encoder that has seen no label, which
`build` copies). Pixels alone count until the critic's say is ramped in.

Departures: few blocks; the generator adds to bicubic upsampling; the critic is the shared encoder, real and restored
normed apart and only real ones remembered, against winning at once with smooth labels, a penalty on its slope (R1) and
a head of spectral norm 1. PSNR and SSIM are logged with those of bicubic as their chance; a GAN's PSNR is expected
below that of the plain squared error.
N images, S side, D = encoder.dim.
"""

import json
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import modalities
from modalities.base import Batch, Encoder, Index, Pretext
from modalities.common import adversarial as play
from modalities.common.distributed import total, world
from modalities.image import augment
from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.shared import preview
from modalities.image.shared.fidelity import psnr, ssim
from modalities.image.shared.restoring import FACTOR, Critic, Generator, Resize, Through, shown
from modalities.image.shared.upward import deepest

LEAST = 16  # pixels: the small picture has 4


class SuperRes(Pretext):
    corpus: Images
    encoder: ImageEncoder
    progress: Tensor
    step: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        corpus: Images,
        built: Path,
        *,
        trunk: Literal["critic", "generator"],
        content: Literal["mse", "trunk", "frozen"],
        adversarial: float,
        alone: float,
        smooth: float,
        penalty: float,
        penalty_every: int,
        channels: int,
        blocks: int,
    ) -> None:
        super().__init__(encoder, corpus, built)
        for key, value, wrong, want in (
            ("trunk", trunk, trunk not in ("critic", "generator"), "critic or generator"),
            ("content", content, content not in ("mse", "trunk", "frozen"), "mse, trunk or frozen"),
            ("adversarial", adversarial, adversarial < 0, "at least 0"),
            ("alone", alone, not 0 <= alone <= 0.5, "a share of the run, 0 to 0.5"),
            ("smooth", smooth, not 0.5 < smooth <= 1, "a probability above 0.5, 1 for hard labels"),
            ("penalty", penalty, penalty < 0, "at least 0, for none"),
            ("penalty_every", penalty_every, penalty_every < 1, "at least 1"),
            ("channels", channels, channels < 1, "at least 1"),
            ("blocks", blocks, blocks < 1, "at least 1"),
        ):
            if wrong:
                raise ValueError(f"superres.model.{key} is {value}; use {want}")
        check_sides(encoder.side, corpus.side)
        self.content, self.adversarial, self.alone, self.smooth = content, adversarial, alone, smooth
        self.penalty, self.penalty_every = penalty, penalty_every
        self.reduce = Resize(encoder.side, encoder.side // FACTOR)
        body = Generator(encoder.side, channels=channels, blocks=blocks)
        inside = trunk == "generator"
        self.generator = Through(encoder, body, channels=channels) if inside else body
        self.critic = Critic(encoder.like() if inside else encoder)
        if content != "mse":
            deepest(encoder, "superres.model.content")
        self.frozen = Frozen(read(built)) if content == "frozen" else None
        self.register_buffer("progress", torch.tensor(0.0))
        self.register_buffer("step", torch.tensor(0))

    @classmethod
    def build(cls, corpus: Images, out: Path, *, seed: int, frozen: str) -> None:  # type: ignore[override]
        """Copy an exported encoder from the folder `frozen`, for `content: frozen`; "" for none."""
        if not frozen:
            return
        if not Path(frozen, "encoder.json").exists():
            raise FileNotFoundError(
                f"superres.build.frozen: {frozen} holds no encoder; run `dvc repro` for it first"
            )
        method = json.loads(Path(frozen, "encoder.json").read_text())["method"]
        if method == "supervised":
            raise ValueError(
                f"superres.build.frozen is {frozen}, trained on labels; use a self-supervised one"
            )
        for name in ("encoder.json", "encoder.safetensors"):
            shutil.copyfile(Path(frozen, name), out / name)

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        """Squares from S pixels up, which are never enlarged: what is asked for must be sharp."""
        stored, count = self.corpus.side, len(index)
        size = rng.integers(self.encoder.side, stored + 1, (count, 1))
        corner = rng.integers(stored - size + 1, size=(count, 2))
        draws = augment.plain(np.concatenate([corner, size, size], 1), rng.random(count) < 0.5)
        return {"image": augment.render(self.corpus, index, draws, self.encoder.side)}

    def small(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) to (N, 3, S/4, S/4), both in [0, 1]. By the nearest pixel they would alias."""
        found: Tensor = self.reduce(images).clamp(0, 1)
        return found

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        images = batch["image"]
        small, real = self.small(images), 2 * images - 1
        if player == 1:
            return self.judged(small, real)
        made = self.generator(small)
        ramp = self.ramp()
        pixels = F.mse_loss(made, real)
        found = {"content": pixels if self.content == "mse" else pixels.lerp(self.likeness(made, real), ramp)}
        with play.unremembered(self.critic):
            found["adversarial"] = play.cross_entropy(play.fixed(self.critic, made), 1.0).mean()
        return (
            {"loss": found["content"] + self.adversarial * ramp * found["adversarial"]}
            | found
            | self.fidelity(small, made, images)
        )

    def ramp(self) -> Tensor:
        """0 while the content counts alone, then a line up to 1 in as long again."""
        return ((self.progress - self.alone) / max(self.alone, 1e-6)).clamp(0, 1)

    def likeness(self, made: Tensor, real: Tensor) -> Tensor:
        """The mean squared difference of maps, each as a share of the map's own mean square."""
        if self.frozen is None:
            with play.unremembered(self.critic):
                ours = play.fixed(self.critic, made, True)
                with torch.no_grad():
                    theirs = self.critic(real, True)
        else:
            ours, theirs = self.frozen(shown(made)), self.frozen(shown(real))
        sizes = [total(x.detach().float().square().mean()) / world() for x in theirs]
        each = [
            F.mse_loss(a.float(), b.detach().float()) / size.clamp_min(1e-6)
            for a, b, size in zip(ours, theirs, sizes, strict=True)
        ]
        return torch.stack(each).mean()

    @torch.no_grad()
    def fidelity(self, small: Tensor, made: Tensor, images: Tensor) -> dict[str, Tensor]:
        """PSNR and SSIM of what is made, and as their chance those of bicubic upsampling."""
        restored, bicubic = shown(made).clamp(0, 1), self.enlarged(small)
        found = {"psnr": psnr(restored, images), "ssim": ssim(restored, images)}
        found |= {"psnr.chance": psnr(bicubic, images), "ssim.chance": ssim(bicubic, images)}
        return {name: each.mean() for name, each in found.items()}

    def enlarged(self, small: Tensor) -> Tensor:
        body = self.generator.body if isinstance(self.generator, Through) else self.generator
        found: Tensor = body.enlarge(small).clamp(0, 1)
        return found

    def judged(self, small: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The critic's turn: restored first, real last and remembered."""
        with torch.no_grad():
            made = self.generator(small)
        with play.unremembered(self.critic):
            false = self.critic(made)
        true = self.critic(real)
        loss = play.critic_loss(true, false, self.smooth)
        if self.penalty and int(self.step) % self.penalty_every == 0:
            # Seldom, and so many times as strong (StyleGAN2, Karras et al. 2020, arXiv:1912.04958).
            loss = loss + self.penalty * self.penalty_every * play.penalty(self.critic, real)
        return {"loss": loss, "accuracy": play.accuracy(true, false)}

    def players(self) -> list[nn.Module]:
        return [self.generator, self.critic]

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)
        self.step.add_(1)

    def chance(self) -> dict[str, float]:
        return {"player1.accuracy": 0.5}

    def preview(self, out: Path, rng: np.random.Generator) -> None:
        images = self.batch(preview.some(self.corpus, rng), rng)["image"]
        small = self.small(images)
        preview.grid(out, {"shown": small, "bicubic": self.enlarged(small), "asked": images})


class Frozen(nn.Module):
    """Maps of an encoder that never learns, nor leaves evaluation mode."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        deepest(encoder, "superres.build.frozen")
        self.encoder = encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return self.encoder.maps(pictures)


def check_sides(side: int, stored: int) -> None:
    """Raise ValueError for pictures that hold no detail to restore."""
    if side % FACTOR or side < LEAST:
        raise ValueError(
            f"image.encoder.side is {side}; superres needs a multiple of {FACTOR}, at least {LEAST}"
        )
    if stored < side:
        raise ValueError(
            f"the corpus has pictures of {stored} pixels, image.encoder.side is {side}: enlarged ones have no detail "
            "to restore; lower it, or raise image.ingest.side"
        )


def read(built: Path) -> Encoder:
    """The encoder that `build` copied. Raises ValueError where there is none."""
    from safetensors.torch import load_file

    if not (built / "encoder.json").exists():
        raise ValueError(
            'superres.model.content is frozen, but superres.build.frozen is ""; name the folder of an encoder'
        )
    encoder = modalities.rebuild("image", json.loads((built / "encoder.json").read_text())["spec"])
    encoder.load_state_dict(load_file(built / "encoder.safetensors"))
    return encoder
