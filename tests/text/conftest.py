"""Fixtures for tests of text."""

import pytest

from modalities.text.corpus import Texts
from modalities.text.encoders import Trunk
from tests.text import toy


@pytest.fixture
def toy_texts() -> Texts:
    """48 documents of four topics, three quarters of them for training."""
    return toy.documents(48)


@pytest.fixture
def tiny_trunk() -> Trunk:
    """Two layers, 32 wide, 64 positions, at most 512 entries; no vocabulary yet."""
    return toy.tiny_trunk()
