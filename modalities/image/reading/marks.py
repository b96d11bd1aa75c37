"""What is known of pictures beyond one label, written beside them.

    marks.parquet    a row for each of the index: boxes (4 numbers each: left, top, right, bottom, as stored), names and
                     hard, one for each box, and several (labels); null where a picture has none of the kind
    masks.npy        (n, side, side) uint8, the class of every pixel, 255 where it is not known

Neither is there where nothing of its kind is known.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modalities.image.reading.masks import UNKNOWN
from modalities.image.reading.screen import Stored
from modalities.image.reading.shards import BLOCK, Slots


def write(out: Path, kept: Sequence[Stored], masks: Slots, fingerprint: str) -> str:
    """Write what is known of these pictures, which are in the order of the index; return a fingerprint of it too."""
    content = ""
    if any(each.boxes is not None or each.item.several for each in kept):
        content = _write_table(out / "marks.parquet", kept)
    if any(each.masked for each in kept):
        content += _write_masks(out / "masks.npy", kept, masks)
    return hashlib.sha256((fingerprint + content).encode()).hexdigest() if content else fingerprint


def _write_table(path: Path, kept: Sequence[Stored]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    boxes = [each.boxes for each in kept]
    columns = {
        "boxes": [
            None if known is None else [float(x) for box in known for x in box[1:5]] for known in boxes
        ],
        "names": [None if known is None else [box.name for box in known] for known in boxes],
        "hard": [None if known is None else [box.hard for box in known] for known in boxes],
        "several": [list(each.item.several) or None for each in kept],
    }
    kinds = {
        "boxes": pa.list_(pa.float64()), "names": pa.list_(pa.string()), "hard": pa.list_(pa.bool_()),
        "several": pa.list_(pa.string()),
    }  # fmt: skip
    pq.write_table(pa.table({name: pa.array(columns[name], kind) for name, kind in kinds.items()}), path)
    return json.dumps(columns)


def _write_masks(path: Path, kept: Sequence[Stored], masks: Slots) -> str:
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (len(kept), masks.side, masks.side))
    made[:] = UNKNOWN
    digest = hashlib.sha256()
    for start in range(0, len(kept), BLOCK):
        part = kept[start : start + BLOCK]
        places = [start + k for k, each in enumerate(part) if each.masked]
        if places:
            made[places] = masks.read([kept[place].slot for place in places])[..., 0]
        digest.update(made[start : start + len(part)].tobytes())
    made.flush()
    return digest.hexdigest()
