"""LZMA: bits of a byte of a compressor that has read the training text. A model must do better to have learnt it.

What the test text adds to the training text, compressed together at the strongest setting with a dictionary that holds
both. The container's own bytes cancel.
"""

import lzma
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from modalities.text.corpus import Texts


def run(corpus: Texts, *, seed: int, documents: int) -> dict[str, float]:
    """perplexity.bits_per_byte of the first `documents` of the test split (0: all), as `perplexity` has them."""
    train, test = corpus.only("train"), corpus.only("test")
    index = np.arange(min(len(test), documents) if documents else len(test))
    before = "\n\n".join(train.documents(np.arange(len(train)))).encode()
    texts = test.documents(index)
    after = "\n\n".join(["", *texts]).encode()
    size = sum(len(text.encode()) for text in texts)
    with ThreadPoolExecutor(2) as pool:  # a compressor lets the other run
        both, alone = pool.map(compressed, (before + after, before))
    return {"perplexity.bits_per_byte": 8 * (both - alone) / size}


def compressed(text: bytes) -> int:
    room = 1 << max(16, (len(text) - 1).bit_length())
    # The newest matches first, and the longest search: preset 9 with a dictionary as large as the text.
    chain = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": min(room, 1 << 28)}]
    return len(lzma.compress(text, format=lzma.FORMAT_RAW, filters=chain))
