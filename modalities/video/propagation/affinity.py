"""Labels carried along a video by nearness of frozen features: masks, joints, anything with one value a cell.

Vondrick et al. 2018, arXiv:1806.09594; top-k and radius as in Jabri et al. 2020, arXiv:2006.14613.
T frames, K labels, C channels, h x w feature cells, all of one video.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SCORES = (
    2**24
)  # similarities held at a time, 64 MiB: a frame of 480 x 854 pixels against 21 others has 54 times that


def propagate(
    features: Tensor, first: Tensor, *, context: int, top: int, radius: float, temperature: float
) -> Tensor:
    """(T, K, h, w): the labels `first`, (K, h, w), of frame 0, and those of every later frame.

    features: (T, C, h, w), of unit length where scores are to be cosines. A cell's keys are all cells of frame 0 and
    those of the last `context` frames that lie within `radius` cells of it. The `top` nearest of all of them
    together, weighted by softmax(score / temperature), give its label, which is kept soft for later frames.
    """
    frames, _, height, width = features.shape
    cells = features.permute(0, 2, 3, 1).contiguous()  # (T, h, w, C)
    labels = first.new_zeros((frames, height, width, len(first)))  # (T, h, w, K)
    labels[0] = first.permute(1, 2, 0)
    for t in range(1, frames):
        past = slice(max(1, t - context), t)  # empty for frame 1, and for a context of 0
        rows = strip(height, width, radius, past.stop - past.start)
        for start in range(0, height, rows):
            queries = slice(start, min(start + rows, height))
            near = slice(max(0, start - int(radius)), min(height, queries.stop + int(radius)))
            scores = cells[t, queries].flatten(0, 1) @ pool(cells, past, near).T  # (q, n)
            out = far(queries, near, width, radius, scores.device)  # (q, n')
            scores[:, height * width :].masked_fill_(out.repeat(1, past.stop - past.start), -torch.inf)
            best, which = scores.topk(min(top, scores.shape[1]), dim=1)
            weights = F.softmax(best / temperature, dim=1)  # (q, top)
            found = torch.bmm(weights[:, None], pool(labels, past, near)[which])  # (q, 1, K)
            labels[t, queries] = found.view(-1, width, len(first))
    return labels.permute(0, 3, 1, 2)


def pool(cells: Tensor, past: slice, near: slice) -> Tensor:
    """(n, C): all cells of frame 0 of (T, h, w, C), then those of the rows `near` of the frames `past`."""
    return torch.cat([cells[0].flatten(0, 1), cells[past, near].flatten(0, 2)])


def strip(height: int, width: int, radius: float, past: int) -> int:
    """Rows of cells to ask about at a time, so that their scores stay within SCORES."""
    for rows in range(height, 1, -1):
        reached = min(height, rows + 2 * int(radius))
        if rows * width * width * (height + past * reached) <= SCORES:
            return rows
    return 1


def far(queries: slice, keys: slice, width: int, radius: float, where: torch.device) -> Tensor:
    """(q, n) whether a key in these rows of cells is further from a query than `radius` cells."""
    down = torch.arange(queries.start, queries.stop, device=where)[:, None] - torch.arange(
        keys.start, keys.stop, device=where
    )
    column = torch.arange(width, device=where)
    across = column[:, None] - column
    away = down[:, None, :, None] ** 2 + across[None, :, None, :] ** 2 > radius**2  # (rows, w, rows', w)
    return away.flatten(2).flatten(0, 1)


def spread(masks: Tensor, height: int, width: int) -> Tensor:
    """(..., height, width): the share of each cell that (..., H, W) covers, its mean over the cell's exact area."""
    down = overlap(masks.shape[-2], height).to(masks)
    across = overlap(masks.shape[-1], width).to(masks)
    return down @ masks @ across.T


def overlap(pixels: int, cells: int) -> Tensor:
    """(cells, pixels): how much of each cell each pixel covers, in shares of the cell."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * pixels / cells
    pixel = torch.arange(pixels, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return covered.clamp(min=0) * cells / pixels
