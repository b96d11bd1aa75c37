"""Augmentation of whole batches: every view is drawn as arrays of parameters, then rendered in one call.

Random resized crops, flips, colour jitter, grey, blur and solarisation as in SimCLR (Chen et al. 2020,
arXiv:2002.05709), BYOL (arXiv:2006.07733) and before them. `draw` asks the step's generator for everything at once;
`render` hands the parameters to the compiled kernel, which reads the crops straight out of the memory-mapped
shards, or to `render_torch`, the same in torch operations, for a GPU. Pictures come out as RGB in [0, 1]:
normalisation is inside the encoder.

Departures from the papers' per-image code, which works on 8-bit pictures: nothing is rounded to 8 bits; values are
clamped once, after the colour; hue turns the IQ plane of YIQ, which keeps luma, and not the hexagon of HSV. Without
clamps in between the four jitters commute, so no order is drawn.

N samples, V views, M rows of parameters (V * N), S side in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.image.corpus import Images
from modalities.image.shared.rendering import Part, on_cpu

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

ASPECT = (3 / 4, 4 / 3)  # width / height of a random resized crop
TRIES = 10  # at a box that fits, as torchvision; then the whole picture
SIGMA = (0.1, 2.0)  # of the blur, in pixels of the result; its kernel is S/10 wide
SHIFT = 4  # pixels by which small pictures are moved instead of cropped

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
BACK = np.linalg.inv(YIQ)
# A colour matrix is a sum of these three: what keeps luma, what scales the IQ plane, what turns it.
PARTS = np.stack([
    BACK @ np.diag([1.0, 0.0, 0.0]) @ YIQ,
    BACK @ np.diag([0.0, 1.0, 1.0]) @ YIQ,
    BACK @ np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]) @ YIQ,
])  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the views of one kind are drawn: the block `views` of a method in params.yaml.

    Raises ValueError for a value that no draw could follow.
    """

    scale: Sequence[float]  # share of the picture's area that a crop may have, from and to
    jitter: Sequence[float]  # strengths of brightness, contrast, saturation and hue
    jitter_share: float  # probabilities, each of a view
    gray: float
    blur: float
    solarise: float
    flip: float

    def __post_init__(self) -> None:
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"views.scale is {self.scale}; use two shares of the area, 0 < from <= to <= 1")
        if len(self.jitter) != 4 or min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise ValueError(
                f"views.jitter is {self.jitter}; use four strengths of at least 0 (brightness, contrast, saturation, "
                "hue), the last at most 0.5"
            )
        for name in ("jitter_share", "gray", "blur", "solarise", "flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"views.{name} is {getattr(self, name)}; use a probability, 0 to 1")


@dataclass(frozen=True)
class Draws:
    """M views as numbers. Change some with `dataclasses.replace`, as AMDIM does to share its flips."""

    boxes: Index  # (M, 4): top, left, height, width; what lies outside the picture is read by reflection
    flips: Flags  # (M,), left to right
    colour: Floats  # (M, 3, 4): of a pixel's red, green and blue, and of the mean luma of the crop
    blur: Floats  # (M,), sigma in pixels; 0 for none
    solarise: Flags  # (M,), invert values of at least 0.5

    def __len__(self) -> int:
        return len(self.boxes)


def crop_boxes(
    rng: np.random.Generator,
    count: int,
    source_side: int,
    scale: Sequence[float],
    aspect: Sequence[float] = ASPECT,
) -> Index:
    """Boxes of random resized crops, (count, 4), distributed as those of torchvision's RandomResizedCrop."""
    area = rng.uniform(scale[0], scale[1], (count, TRIES)) * source_side**2
    ratio = np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1]), (count, TRIES)))
    height, width = np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))
    fits = (height > 0) & (width > 0) & (height <= source_side) & (width <= source_side)
    rows, first = np.arange(count), fits.argmax(1)
    found = fits[rows, first]
    size = np.where(found, [height[rows, first], width[rows, first]], source_side)
    corner = rng.random((2, count)) * (source_side - size + 1)
    return np.concatenate([corner, size]).T.astype(np.int64, order="C")


def shift_boxes(rng: np.random.Generator, count: int, source_side: int, by: int, share: float) -> Index:
    """Boxes of whole pictures, (count, 4), a share of them moved by up to `by` pixels each way."""
    moved = rng.integers(-by, by + 1, (count, 2)) * (rng.random((count, 1)) < share)
    return np.concatenate([moved, np.full((count, 2), source_side)], 1)


def draw_jitter(rng: np.random.Generator, count: int, recipe: Recipe) -> NDArray[np.float64]:
    """Factors of brightness, contrast and saturation and hue in turns, (4, count); (1, 1, 1, 0) where left alone."""
    strength = np.array(recipe.jitter)[:, None]
    neutral = np.array([1.0, 1.0, 1.0, 0.0])[:, None]
    low = np.maximum(neutral - strength, [[0.0], [0.0], [0.0], [-0.5]])
    factors = low + (neutral + strength - low) * rng.random((4, count))
    return np.where(rng.random(count) < recipe.jitter_share, factors, neutral)


def colours(factors: NDArray[np.float64], gray: Flags) -> Floats:
    """The matrices (M, 3, 4) of these jitters, (4, M), and after them, where flagged, of grey.

    Brightness scales; saturation scales the IQ plane and hue turns it; contrast moves towards the mean luma.
    """
    brightness, contrast, saturation, hue = factors
    chroma = np.where(gray, 0, saturation)
    parts = np.stack(
        [np.ones_like(chroma), chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)], 1
    )
    matrices = np.empty((len(gray), 3, 4), np.float32)
    matrices[:, :, :3] = ((brightness * contrast)[:, None] * parts @ PARTS.reshape(3, 9)).reshape(-1, 3, 3)
    matrices[:, :, 3] = (brightness * (1 - contrast))[:, None]
    return matrices


def draw(rng: np.random.Generator, count: int, source_side: int, recipe: Recipe, side: int) -> Draws:
    """Parameters of `count` views of S pixels, from pictures of `source_side` pixels."""
    boxes = crop_boxes(rng, count, source_side, recipe.scale)
    factors = draw_jitter(rng, count, recipe)
    gray, blurred, solarise, flips = rng.random((4, count)) < [
        [recipe.gray], [recipe.blur], [recipe.solarise], [recipe.flip]
    ]  # fmt: skip
    sigma = np.where(blurred, rng.uniform(*SIGMA, count), 0).astype(np.float32)
    return Draws(boxes, flips, colours(factors, gray), sigma, solarise)


def plain(boxes: Index, flips: Flags | None = None) -> Draws:
    """Boxes of (M, 4) as they are: resized, flipped where asked, and nothing else."""
    count = len(boxes)
    none = np.zeros(count, np.bool_)
    colour = np.tile(np.eye(3, 4, dtype=np.float32), (count, 1, 1))
    return Draws(boxes, none if flips is None else flips, colour, np.zeros(count, np.float32), none)


def joined(draws: Sequence[Draws]) -> Draws:
    """Several sets of parameters as one, in this order."""
    return Draws(*(np.concatenate([getattr(d, field.name) for d in draws]) for field in fields(Draws)))


def _checked(corpus: Images, index: Index, draws: Draws, side: int) -> None:
    """The kernel does not look where it reads: raise ValueError before it would read past a picture."""
    if side < 1 or len(index) != len(draws):
        raise ValueError(
            f"{len(index)} samples, {len(draws)} draws, side {side}; use one draw a sample, a side of 1 up"
        )
    corner, size = draws.boxes[:, :2], draws.boxes[:, 2:]
    outside = np.maximum(-corner, corner + size - corpus.side).max(initial=0)
    if size.min(initial=1) < 1 or outside >= corpus.side:
        raise ValueError(
            f"a box of {size.min()} pixels or {outside} outside a picture of {corpus.side}; use at least 1, and "
            f"at most {corpus.side - 1} outside"
        )


def render(
    corpus: Images, index: Index, draws: Draws, side: int, device: torch.device | None = None
) -> Tensor:
    """These samples, one a row of parameters, as (M, 3, S, S) float32 in [0, 1]; samples may repeat.

    By the compiled kernel on as many threads as torch has, or where a device is named, there, by `render_torch`.
    Raises ValueError where samples and parameters do not match or a box cannot be read.
    """
    _checked(corpus, index, draws, side)
    if device is not None:
        once, places = np.unique(index, return_inverse=True)
        pixels = torch.from_numpy(corpus.pixels(once)).to(device)
        return render_torch(pixels[torch.from_numpy(places).to(device)], draws, side)
    size = np.array(corpus.shards[0].shape[1:3])
    parts = (
        Part(np.asarray(shard).reshape(-1), rows * (3 * size.prod()), np.tile(size, (len(rows), 1)), places)
        for shard, rows, places in corpus.parts(index)
    )
    return on_cpu(parts, [getattr(draws, field.name) for field in fields(draws)], side)


def render_torch(pixels: Tensor, draws: Draws, side: int) -> Tensor:
    """The same as `render` in torch operations: (M, H, W, 3) uint8 on any device -> (M, 3, S, S) in [0, 1] there.

    Resizing and blur are products with dense matrices: more arithmetic than the kernel's, but all of it in a few
    large calls, which is what a GPU wants. Agrees with the kernel to well under 1/255.
    """
    device = pixels.device
    beyond = int(
        max(0, -draws.boxes[:, :2].min(), (draws.boxes[:, :2] + draws.boxes[:, 2:]).max() - pixels.shape[1])
    )
    top, left, height, width = torch.from_numpy(draws.boxes).to(device).T
    x = F.pad(pixels.permute(0, 3, 1, 2).float() / 255, (beyond,) * 4, mode="reflect")
    down = _resizing(top + beyond, height, x.shape[2], side)  # (M, S, H)
    across = _resizing(left + beyond, width, x.shape[3], side)  # (M, S, W)
    across = torch.where(torch.from_numpy(draws.flips).to(device)[:, None, None], across.flip(1), across)
    x = down[:, None] @ x @ across[:, None].mT  # (M, 3, S, S)
    colour = torch.tensor(draws.colour).to(device)
    luma = torch.tensor(YIQ[0], dtype=x.dtype, device=device)
    mean = x.mean((2, 3)) @ luma  # (M,)
    x = (colour[:, :, :3] @ x.flatten(2)).view_as(x)
    x = (x + (colour[:, :, 3] * mean[:, None])[:, :, None, None]).clamp(0, 1)
    blurred = np.flatnonzero(draws.blur)
    if len(blurred):
        blur = _blurring(torch.from_numpy(draws.blur[blurred]).to(device), side)  # (B, S, S)
        where = torch.from_numpy(blurred).to(device)
        x[where] = blur[:, None] @ x[where] @ blur[:, None].mT
    solarise = torch.from_numpy(draws.solarise).to(device)[:, None, None, None] & (x >= 0.5)
    return torch.where(solarise, 1 - x, x)


def _resizing(start: Tensor, length: Tensor, source: int, side: int) -> Tensor:
    """Matrices (M, S, source) of the antialiased bicubic that takes `length` pixels from `start` on to S."""
    scale = (length / side)[:, None]  # (M, 1)
    centre = start[:, None] + (torch.arange(side, device=start.device) + 0.5) * scale
    pixel = torch.arange(source, device=start.device) + 0.5
    x = ((pixel - centre[:, :, None]) / scale.clamp(min=1)[:, :, None]).abs()  # (M, S, source)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    inside = (pixel > start[:, None]) & (pixel < (start + length)[:, None])  # (M, source)
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0)) * inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def _blurring(sigma: Tensor, side: int) -> Tensor:
    """Matrices (B, S, S) of the Gaussian blur with reflected borders."""
    radius = side // 20
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)  # (B, 2 * radius + 1)
    weights = weights / weights.sum(1, keepdim=True)
    read = (torch.arange(side, device=sigma.device)[:, None] + offset).abs()  # (S, 2 * radius + 1)
    read = torch.where(read < side, read, 2 * (side - 1) - read)
    matrices = torch.zeros(len(sigma), side, side, device=sigma.device)
    return matrices.scatter_add_(2, read.expand(len(sigma), -1, -1), weights[:, None].expand(-1, side, -1))


def views(
    corpus: Images,
    index: Index,
    side: int,
    rng: np.random.Generator,
    recipes: Sequence[Recipe],
) -> Tensor:
    """One view a recipe of these samples, (V, N, 3, S, S), made where the corpus says."""
    draws = joined([draw(rng, len(index), corpus.side, recipe, side) for recipe in recipes])
    drawn = render(corpus, np.tile(index, len(recipes)), draws, side, corpus.device)
    return drawn.view(len(recipes), len(index), 3, side, side)


def crop_flip(corpus: Images, index: Index, side: int, rng: np.random.Generator) -> Tensor:
    """These samples, cropped and flipped, (N, 3, S, S): what rotation, clustering and supervised training see.

    Pictures of up to 32 pixels stored at S are moved by up to 4 pixels, as is the custom on CIFAR, but with a
    reflected border for its black one: black bars would be one more thing to learn. Others are cropped to 0.35 - 1
    of their area.
    """
    if corpus.side == side <= 32:
        boxes = shift_boxes(rng, len(index), side, SHIFT, 1)
    else:
        boxes = crop_boxes(rng, len(index), corpus.side, (0.35, 1.0))
    return render(corpus, index, plain(boxes, rng.random(len(index)) < 0.5), side)


def patches(corpus: Images, index: Index, boxes: Index, side: int) -> Tensor:
    """Pieces of these samples, one a box (M, 4) of top, left, height and width, as (M, 3, S, S)."""
    return render(corpus, index, plain(boxes), side)
