"""Rotation: the target must be the turn the pixels really took."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.image.corpus import Images
from modalities.image.encoders import ImageEncoder
from modalities.image.pretexts.rotation import Rotation, turned


class Corners(ImageEncoder):
    """Reads the corners counter-clockwise from the top left, so a marked image tells its turn."""

    dim = 4

    def __init__(self) -> None:
        super().__init__(side=8, channels=3)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, [0, -1, -1, 0], [0, 0, -1, -1]]


@pytest.mark.parametrize("turns", [2, 4])
def test_a_head_that_reads_the_turn_is_always_right(turns: int, toy_images: Images, tmp_path: Path) -> None:
    images = torch.zeros(3, 3, 8, 8)
    images[:, :, 0, 0] = 1
    pretext = Rotation(Corners(), toy_images, tmp_path, turns=turns)
    with torch.no_grad():
        pretext.head.weight.copy_(100 * torch.eye(4)[:: 4 // turns])
        pretext.head.bias.zero_()
    assert pretext({"image": images})["accuracy"] == 1


def test_four_quarter_turns_are_the_identity_bit_for_bit() -> None:
    images = torch.rand(5, 3, 9, 9)
    again = images
    for _ in range(4):
        again = turned(again, 4)[5:10]
    assert torch.equal(again, images)


def test_every_batch_has_each_turn_of_each_image_once() -> None:
    images = torch.rand(5, 3, 9, 9)
    rows = turned(images, 4).reshape(4, 5, 3, 9, 9)
    slow = np.stack([[np.rot90(image, k, (1, 2)) for image in images.numpy()] for k in range(4)])
    assert np.array_equal(rows.numpy(), slow)


def test_angles_with_black_corners_are_refused(toy_images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rotation\.model\.turns is 8; use 2 or 4"):
        Rotation(Corners(), toy_images, tmp_path, turns=8)
