"""Problems of a few hundred samples: two threads would spend their time waiting for each other."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from modalities.common.device import threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1), threadpool_limits(1):
        yield
