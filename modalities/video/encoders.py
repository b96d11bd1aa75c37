"""Encoders of videos: networks of pictures, shown frame by frame.

All take RGB in [0, 1]: frames (N, 3, H, W), or clips (N, 3, T, H, W), whose vector is made of their frames'.
Normalisation is inside. D = `dim`, E that of a frame's vector.
"""

from typing import Any

import torch
from torch import Tensor, nn

from modalities.base import Encoder, Index
from modalities.image.encoders import Gray, Lightness, Named, Norm, ResNet, Stem
from modalities.video.augment import squares, uniform
from modalities.video.corpus import Videos
from modalities.video.shared.pointing import Pointing

__all__ = ["FrameNet", "Frames", "Gray", "Lightness", "Named", "Pointing", "encoder"]

MOST = (
    32  # frames encoded at a time where nothing is trained: with more, maps no longer fit into a core's cache
)
FINE = 8  # pixels from one place of the maps to the next, at most: coarser ones are of no use to propagation


class FrameNet(ResNet):
    """image's ResNet, of which no stage is coarser than `stride` pixels: later ones keep the resolution.

    Its maps are those of the stages up to a stride of 8; its vector is the mean of the last stage, whatever its stride.
    """

    def __init__(self, *, arch: str, width: int, stem: Stem, norm: Norm, side: int, stride: int) -> None:
        super().__init__(arch=arch, width=width, stem=stem, norm=norm, side=side)
        first = {"3x3": 1, "3x3-pool": 2, "7x7": 4}[stem]
        if stride < first or stride & (stride - 1):
            raise ValueError(
                f"video.encoder.stride is {stride}; use a power of 2 from {first} (stem {stem}) up"
            )
        self.spec = {
            "class": "FrameNet", "arch": arch, "width": width, "stem": stem, "norm": norm, "side": side,
            "stride": stride,
        }  # fmt: skip
        strides = [first * 2**k for k in range(len(self.stages))]
        for stage, natural in zip(self.stages, strides, strict=True):
            if natural > stride:
                _unstrided(stage)
        self.fine = sum(min(natural, stride) <= FINE for natural in strides)

    def maps(self, x: Tensor) -> list[Tensor]:
        """[(N, C, h, w), ...], the last with places 8 pixels apart, or finer where the whole network is."""
        x = self.stem(self.normalised(x))
        found = []
        for stage in self.stages[: self.fine]:
            x = stage(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.normalised(x))
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3))


def _unstrided(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


class Frames(Encoder):
    """An encoder of frames as one of clips: `frames` of each video, evenly spaced, their mean and how they change.

    A clip's vector is the mean of its frames' vectors, then, `motion` times, their mean absolute deviation from it
    and the mean absolute step from each to the next: three times as long, and 0 in the last two parts for one frame.
    Where `motion` is 0 it is the mean alone, as is usual for encoders of frames. No reader of a mean can tell motions
    that no single frame shows: on the default clips, named by how they move, a linear probe of means was at chance
    even with a network trained on their labels. `motion` scales what cosines weigh; linear readers do without.

    A method that shows its network something else than RGB wraps the inner one: `Frames(encoder=Lightness(...))`.
    """

    side: int

    def __init__(self, *, encoder: Encoder, frames: int, motion: float) -> None:
        super().__init__()
        if frames < 1:
            raise ValueError(f"video.encoder.frames is {frames}; use at least 1")
        if motion < 0 or (motion and frames < 2):
            raise ValueError(f"video.encoder.motion is {motion}; use 0, or more with at least 2 frames")
        self.encoder, self.frames, self.motion = encoder, frames, motion
        self.dim = (3 if motion else 1) * encoder.dim
        self.side = encoder.side  # type: ignore[assignment]
        self.spec = {"class": "Frames", "encoder": encoder.spec, "frames": frames, "motion": motion}

    def like(self, **changes: Any) -> "Frames":
        """A fresh one, with changes to the inner encoder."""
        return self.around(self.encoder.like(**changes))

    def around(self, encoder: Encoder) -> "Frames":
        """One that reads clips as this one does, of another encoder of frames."""
        return Frames(encoder=encoder, frames=self.frames, motion=self.motion)

    def read(self, corpus: Videos, index: Index) -> Tensor:
        """(n, 3, T, S, S): the middle squares of T frames, evenly over each of these videos."""
        numbers = uniform(corpus.counts[index], self.frames)
        made = squares(corpus, index.repeat(self.frames), numbers.reshape(-1), self.side)
        return made.view(len(index), self.frames, 3, self.side, self.side).transpose(1, 2)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Of frames (N, 3, H, W) of any size."""
        return self.encoder.maps(x.contiguous(memory_format=torch.channels_last))

    def vectors(self, frames: Tensor) -> Tensor:
        """(M, E) of frames (M, 3, H, W), each by itself."""
        if self.training:  # batch norm sees a whole batch
            found: Tensor = self.encoder(frames.contiguous())
            return found
        fast = frames.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        return torch.cat([self.encoder(part) for part in torch.split(fast, MOST)])

    def forward(self, x: Tensor) -> Tensor:
        clips = x.unsqueeze(2) if x.ndim == 4 else x
        count, length = clips.shape[0], clips.shape[2]
        vectors = self.vectors(clips.transpose(1, 2).flatten(0, 1)).view(count, length, -1)
        mean = vectors.mean(1)
        if not self.motion:
            return mean
        away = (vectors - mean.unsqueeze(1)).abs().mean(1)
        steps = vectors.diff(dim=1).abs().sum(1) / max(1, length - 1)
        return torch.cat([mean, self.motion * away, self.motion * steps], 1)


def encoder(
    *, arch: str, width: int, stem: Stem, norm: Norm, side: int, stride: int, frames: int, motion: float
) -> Frames:
    """The shared trunk. `arch` is resnet18, resnet34, resnet50, torchvision:NAME or timm:NAME.

    width, stem, norm and stride speak of ResNets; named networks have their own.
    """
    if ":" in arch:
        return Frames(encoder=Named(arch=arch, side=side), frames=frames, motion=motion)
    inner = FrameNet(arch=arch, width=width, stem=stem, norm=norm, side=side, stride=stride)
    return Frames(encoder=inner, frames=frames, motion=motion)
