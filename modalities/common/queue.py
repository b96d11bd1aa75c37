"""The last K vectors that a network made: negatives for MoCo, more samples to balance for SwAV.

First in, first out, as buffers, so a checkpoint has it all. K rows, P dimensions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Queue(nn.Module):
    """K unit-length rows, at first random ones.

    `filled` of them have been pushed since; they lie at rows 0 .. filled - 1.
    """

    vectors: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("vectors", F.normalize(torch.randn(size, dim), dim=1))  # (K, P)
        self.register_buffer("pointer", torch.tensor(0))  # the row that is written next
        self.register_buffer("filled", torch.tensor(0))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Write (n, P) over the oldest rows; only in training mode, so that judging a model does not change it.

        Every rank must push the same rows, gathered before. Of more than K rows the last K stay.
        """
        if not self.training:
            return
        skipped = max(0, len(rows) - self.size)
        place = torch.arange(skipped, len(rows), device=self.vectors.device) + self.pointer
        self.vectors.index_copy_(0, place % self.size, rows[skipped:].to(self.vectors.dtype))
        self.pointer.add_(len(rows)).remainder_(self.size)
        self.filled.add_(len(rows)).clamp_(max=self.size)

    def read(self) -> Tensor:
        """A copy, (K, P): a loss keeps what it used for its backward pass, and by then rows have been pushed."""
        return self.vectors.clone()

    def full(self) -> Tensor:
        """1. once every row has been pushed, else 0."""
        return (self.filled == self.size).float()
