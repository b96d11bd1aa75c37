"""Toy videos of a few kilobytes, made in memory, and an encoder that reads them."""

import pytest

from modalities.video.corpus import Videos
from modalities.video.encoders import Frames
from tests.video.toys import tiny, videos


@pytest.fixture
def toy_videos() -> Videos:
    """24 videos of 16 frames in two shards and two shapes, four kinds of motion, three quarters for training."""
    return videos(24)


@pytest.fixture
def tiny_frames() -> Frames:
    return tiny()
