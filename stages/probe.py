"""Probe one encoder, frozen: `python -m stages.probe image rotation 17`. Features are made once, for all probes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import modalities
from modalities.base import Encoder, Features
from modalities.common.device import device
from stages import cli, store

# Products of weights that have decayed to denormal numbers are a hundred times slower on a CPU. Threads inherit this,
# so it is set before torch makes any.
torch.set_flush_denormal(True)

READ = 256  # samples encoded at a time


def probe(job: cli.Job) -> dict[str, Any]:
    """Write the features of the whole corpus; return what each probe of params.yaml finds, by its name."""
    wanted = dict(cli.block(job.params, "probes") or {})
    for name, params in wanted.items():
        cli.check(modalities.probe(name), params, f"{job.modality}.probes.{name}", ("seed",))
    folder = job.path(store.model_path)
    encoder = store.load_encoder(folder)
    corpus = modalities.corpus(job.modality)(job.path(store.corpus_path))
    vectors = embed(encoder, corpus)
    if not np.isfinite(vectors).all():
        raise ValueError(
            f"{folder} gives features that are not finite; its training has diverged: lower train.lr"
        )
    with store.writing(job.path(store.features_path)) as out:
        store.save_vectors(vectors, out)
    features = Features(vectors, corpus.labels, corpus.splits, corpus.ids, corpus.classes)
    found: dict[str, Any] = {"encoder": store.digest(folder / "encoder.safetensors")}
    for name in sorted(wanted):
        found[name] = job.call(modalities.probe(name), f"probes.{name}", features, seed=job.seed)
    return found


@torch.inference_mode()
def embed(encoder: Encoder, corpus: Any) -> NDArray[np.float32]:
    """(N, D): every sample as the encoder reads it, without augmentation, in evaluation mode."""
    where = device()
    encoder.eval().to(where)
    vectors = np.empty((len(corpus), encoder.dim), np.float32)
    for rows in np.array_split(np.arange(len(corpus)), -(-len(corpus) // READ)):
        vectors[rows] = encoder(encoder.read(corpus, rows).to(where)).float().cpu().numpy()
    return vectors


if __name__ == "__main__":
    cli.main(probe, takes=("modality", "method", "seed"))
