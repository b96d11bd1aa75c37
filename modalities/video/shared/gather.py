"""Copy many frames of one shape out of memory-mapped bytes: one compiled call, whatever videos they lie in."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

compiled: Any = njit(cache=True, nogil=True)


@compiled  # type: ignore[untyped-decorator]
def copy(
    stored: NDArray[np.uint8], starts: NDArray[np.int64], places: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    """out[places[k]] = the bytes of `stored` from starts[k] on, as many as a row of `out`, (M, bytes), has."""
    size = out.shape[1]
    for k in range(len(starts)):
        out[places[k], :] = stored[starts[k] : starts[k] + size]
