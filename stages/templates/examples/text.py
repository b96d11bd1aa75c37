"""Load this encoder and turn texts into vectors: `python example.py "A text." ...`, where `stages` is installed.

D = encoder.dim. Texts are cut to the positions that the encoder has. The vocabulary is inside it. Where there is a
folder `plain` beside this file, `transformers` loads the same network from it, without this project:

    AutoModel.from_pretrained("plain"), AutoTokenizer.from_pretrained("plain")
"""

import sys
from pathlib import Path
from typing import Any

import torch

from stages import store

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python example.py TEXT...")
    encoder: Any = store.load_encoder(Path(__file__).parent)  # frozen, in evaluation mode
    with torch.no_grad():
        vectors = encoder(encoder.tokens(sys.argv[1:]))  # (N, D)
    print(tuple(vectors.shape))
