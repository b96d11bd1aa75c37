"""Probe one encoder, frozen: `python -m stages.probe image rotation 17`. Features are made once, for all probes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import modalities
from modalities.base import Encoder, Features
from modalities.common.device import device
from modalities.common.embedding import embedded
from stages import cli, store


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


def embed(encoder: Encoder, corpus: Any) -> NDArray[np.float32]:
    """(N, D): every sample as the encoder reads it, without augmentation, in evaluation mode."""
    where = device()
    encoder.to(where)
    vectors = np.empty((len(corpus), encoder.dim), np.float32)
    for rows, found in embedded(encoder, corpus, np.arange(len(corpus)), where):
        vectors[rows] = found.cpu().numpy()
    return vectors


if __name__ == "__main__":
    cli.main(probe, takes=("modality", "method", "seed"))
