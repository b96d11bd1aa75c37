"""Batch-norm statistics of an encoder taken from the data, without a label and without training."""

from typing import Any

import numpy as np
import torch
from torch import nn

from modalities.base import Encoder, Index


@torch.no_grad()
def calibrate(encoder: Encoder, corpus: Any, index: Index, batch: int) -> None:
    """Replace the running statistics of every batch norm by the plain average over these samples, `batch` at a time.

    The encoder is put back into the mode it was in. Nothing happens where it has no batch norm.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    usual, training = [norm.momentum for norm in norms], encoder.training
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of all batches
    encoder.train()
    where = next(encoder.parameters()).device
    for rows in np.array_split(index, -(-len(index) // batch)):
        encoder(encoder.read(corpus, rows).to(where))
    encoder.train(training)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
