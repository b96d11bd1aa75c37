"""Where arithmetic that is not training runs: probes, clustering, whatever starts from arrays."""

import torch


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
