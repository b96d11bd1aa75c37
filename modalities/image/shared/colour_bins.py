"""Colours as classes: cells of the ab plane that sRGB touches, soft codes, and weights against the rule of grey.

Zhang, Isola and Efros, ECCV 2016, arXiv:1603.08511; what colorization and splitbrain share. Their 313 cells come from a
file and do not follow from the gamut of sRGB, so the cells that it touches are counted here, and nothing assumes how
many there are.

N images, Q cells, K of them in a soft code, h and w places, M colours.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modalities.base import Index
from modalities.image.corpus import Images
from modalities.image.networks.lab import to_lab

CHUNK = 64  # pictures surveyed at a time
FARTHEST = 128  # no colour has an a or b beyond it


def touched(step: float) -> Tensor:
    """Centres (Q, 2) of the cells of this width, in units of ab, that hold a colour of 8-bit sRGB."""
    one = torch.linspace(0, 1, 256)
    first, second = (x.flatten() for x in torch.meshgrid(one, one, indexing="ij"))
    cells = []
    # Every line through a solid meets its surface, so the six faces of the RGB cube cast the shadow of all of it.
    for axis in range(3):
        for end in (0.0, 1.0):
            face = [first, second]
            face.insert(axis, torch.full_like(first, end))
            ab = to_lab(torch.stack(face).view(1, 3, -1, 1))[0, 1:, :, 0].T
            cells.append((ab / step).round().long())
    row, column = torch.cat(cells).add(FARTHEST).T
    found = (
        row * 2 * FARTHEST + column
    ).unique()  # one number a cell: unique rows take a hundred times as long
    return (torch.stack([found // (2 * FARTHEST), found % (2 * FARTHEST)], 1) - FARTHEST).float() * step


def nearest(ab: Tensor, centres: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """The nearest cells of colours (M, 2) and their squared distances, nearest first: (M, count) each."""
    distance = torch.cdist(ab, centres, compute_mode="donot_use_mm_for_euclid_dist")
    found = distance.topk(count, largest=False)
    return found.indices, found.values.square()


def rebalanced(prior: Tensor, centres: Tensor, smoothing: float, uniform: float) -> tuple[Tensor, Tensor]:
    """The smoothed prior, summing to 1, and the weight of each cell, (Q,) each in float64; the mean weight is 1.

    Weights are inverse to the smoothed prior mixed with a `uniform` share of the same for all, which bounds them.
    """
    spread = torch.exp(-torch.cdist(centres.double(), centres.double()).square() / (2 * smoothing**2))
    smoothed = (spread / spread.sum(0)) @ prior.double()
    weights = 1 / ((1 - uniform) * smoothed + uniform / len(prior))
    return smoothed, weights / (smoothed * weights).sum()


def pooled(lab: Tensor, stride: int) -> Tensor:
    """Area averages of squares of `stride` pixels: (N, C, H, W) -> (N, C, H // stride, W // stride)."""
    return F.avg_pool2d(lab, stride)


def typical(ab: Tensor) -> Tensor:
    """The colour (2,) with the least mean distance to colours (M, 2): the best that a guess without looking can do.

    The geometric median, by Weiszfeld's iteration from the mean. A mean is no match for it where much is grey.
    """
    guess = ab.mean(0)
    for _ in range(100):
        near = 1 / (ab - guess).norm(dim=1).clamp_min(1e-3)
        guess = (ab * near[:, None]).sum(0) / near.sum()
    return guess


@dataclass(frozen=True)
class Survey:
    """What one pass over the pictures found."""

    rows: Index  # of pictures in colour
    strongest: float  # the largest mean chroma of any picture
    prior: Tensor  # (Q,), shares of the cells among the colours of `rows`
    mean: Tensor  # (3,), of L, a and b
    std: Tensor


def survey(corpus: Images, centres: Tensor, *, least_chroma: float, stride: int) -> Survey:
    """Read every picture once; those of a mean chroma under `least_chroma` are grey and not counted."""
    rows: list[Index] = []
    counts = torch.zeros(len(centres), dtype=torch.float64)
    sums = torch.zeros(2, 3, dtype=torch.float64)
    strongest = 0.0
    for part in np.array_split(np.arange(len(corpus)), -(-len(corpus) // CHUNK)):
        lab = to_lab(torch.from_numpy(corpus.pixels(part)).permute(0, 3, 1, 2) / 255)
        chroma = lab[:, 1:].norm(dim=1).mean((1, 2))
        strongest = max(strongest, float(chroma.max()))
        keep = chroma >= least_chroma
        rows.append(part[keep.numpy()])
        colours = pooled(lab[keep], stride).permute(0, 2, 3, 1).reshape(-1, 3)
        counts += torch.bincount(nearest(colours[:, 1:], centres)[0].flatten(), minlength=len(centres))
        sums += torch.stack([colours.double().sum(0), colours.double().square().sum(0)])
    many = counts.sum().clamp_min(1)
    mean = sums[0] / many
    std = (sums[1] / many - mean.square()).clamp_min(1e-6).sqrt()
    return Survey(np.concatenate(rows), strongest, counts / many, mean, std)


def write(
    corpus: Images,
    out: Path,
    *,
    method: str,
    step: float,
    smoothing: float,
    uniform: float,
    least_chroma: float,
    stride: int,
) -> None:
    """Survey the corpus into bins.safetensors and colours.json, which says how many cells and grey pictures it has.

    Raises ValueError for values that make no cells, and where no picture, or hardly any, is in colour.
    """
    from safetensors.torch import save_file

    key = f"{method}.build"
    for name, value in (("step", step), ("smoothing", smoothing)):
        if not 1 <= value <= 50:
            raise ValueError(f"{key}.{name} is {value}; use 1 to 50 units of ab, such as 10 and 5")
    if not 0 < uniform <= 1:
        raise ValueError(
            f"{key}.uniform is {uniform}; use more than 0, which leaves rare colours unbounded, to 1"
        )
    if not 1 <= stride <= corpus.side:
        raise ValueError(f"{key}.stride is {stride}; use 1 to {corpus.side} pixels, the side of the pictures")
    centres = touched(step)
    found = survey(corpus, centres, least_chroma=least_chroma, stride=stride)
    gray = len(corpus) - len(found.rows)
    if not len(found.rows):
        raise ValueError(
            f"no picture is in colour: the mean chroma is {found.strongest:.1f} at most, under {key}.least_chroma "
            f"({least_chroma}); take {method} out of run.image, or set image.ingest.source to colour pictures"
        )
    if gray:
        print(f"{method}: {gray} grey pictures of {len(corpus)} are left out")
    _, weights = rebalanced(found.prior, centres, smoothing, uniform)
    save_file(
        {
            "centres": centres,
            "prior": found.prior.float(),
            "weights": weights.float(),
            "rows": torch.from_numpy(found.rows),
            "mean": found.mean.float(),
            "std": found.std.float(),
        },
        out / "bins.safetensors",
    )
    about = {"bins": len(centres), "pictures": len(corpus), "gray": gray, "stride": stride}
    (out / "colours.json").write_text(json.dumps(about, indent=2) + "\n")


class ColourBins(nn.Module):
    """The cells as buffers, so that they go where the method goes."""

    centres: Tensor  # (Q, 2)
    prior: Tensor  # (Q,)
    weights: Tensor  # (Q,)

    def __init__(self, centres: Tensor, prior: Tensor, weights: Tensor) -> None:
        super().__init__()
        for name, value in (("centres", centres), ("prior", prior), ("weights", weights)):
            self.register_buffer(name, value)

    def __len__(self) -> int:
        return len(self.centres)

    def code(self, ab: Tensor, neighbours: int, sigma: float) -> tuple[Tensor, Tensor]:
        """The `neighbours` nearest cells of colours (N, 2, h, w), and a Gaussian's share of each, summing to 1.

        Both (N, K, h, w), nearest first.
        """
        n, _, h, w = ab.shape
        index, squared = nearest(ab.permute(0, 2, 3, 1).reshape(-1, 2), self.centres, neighbours)
        share = torch.softmax(-squared / (2 * sigma**2), 1)
        index, share = (x.view(n, h, w, neighbours).permute(0, 3, 1, 2) for x in (index, share))
        return index, share

    def colours(self, logits: Tensor, temperature: float) -> Tensor:
        """The annealed mean of what is predicted, (N, Q, h, w) -> (N, 2, h, w): between the mode and the mean."""
        share = torch.softmax(logits.float() / temperature, 1)
        with torch.autocast(share.device.type, enabled=False):
            return torch.einsum("nqhw,qc->nchw", share, self.centres)


def cross_entropy(logits: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Of codes, cells and their shares (N, K, h, w), under logits (N, Q, h, w): (N, h, w)."""
    return -(share * F.log_softmax(logits.float(), 1).gather(1, index)).sum(1)


@dataclass(frozen=True)
class Built:
    """What `write` wrote."""

    bins: ColourBins
    rows: Index  # of pictures in colour
    mean: Tensor  # (3,), of L, a and b at this stride
    std: Tensor
    stride: int

    @classmethod
    def load(cls, folder: Path) -> Self:
        from safetensors.torch import load_file

        if not (folder / "bins.safetensors").exists():
            raise FileNotFoundError(f"{folder} holds no bins.safetensors; run `dvc repro` first")
        found = load_file(folder / "bins.safetensors")
        stride = json.loads((folder / "colours.json").read_text())["stride"]
        bins = ColourBins(found["centres"], found["prior"], found["weights"])
        return cls(bins, found["rows"].numpy(), found["mean"], found["std"], stride)
