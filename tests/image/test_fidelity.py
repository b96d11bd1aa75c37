"""PSNR and SSIM, against scikit-image."""

from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from modalities.image.shared.fidelity import psnr, ssim


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    real = rng.random((3, 3, 24, 20), np.float32)
    near = np.clip(real + rng.normal(0, 0.1, real.shape), 0, 1).astype(np.float32)
    for mine, value in ((psnr, peak_signal_noise_ratio), (ssim, structural_similarity)):
        found = mine(torch.from_numpy(near), torch.from_numpy(real))
        for k in range(3):
            more: dict[str, Any] = {"data_range": 1.0}
            if mine is ssim:
                more |= {
                    "channel_axis": 0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False,
                }  # fmt: skip
            theirs = value(real[k].astype(np.float64), near[k].astype(np.float64), **more)
            assert float(found[k]) == pytest.approx(theirs, rel=1e-4)
    same = torch.from_numpy(real)
    assert torch.allclose(ssim(same, same), torch.ones(3)) and (psnr(same, same) == 100).all()
    with pytest.raises(ValueError, match="windows of 11 pixels"):
        ssim(same[:, :, :10], same[:, :, :10])
