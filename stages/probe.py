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
    """Write the features of all that is judged; return what each probe of params.yaml finds, by its name.

    A further labelled set of the corpus is judged too, as the task "name (set)".
    """
    wanted = dict(cli.block(job.params, "probes") or {})
    for name, params in wanted.items():
        cli.check(modalities.probe(name), params, f"{job.modality}.probes.{name}", ("seed",))
    folder = job.path(store.model_path)
    encoder = store.load_encoder(folder)
    corpus = modalities.corpus(job.modality)(job.path(store.corpus_path))
    found: dict[str, Any] = {"encoder": store.digest(folder / "encoder.safetensors")}
    with store.writing(job.path(store.features_path)) as out:
        for name, judged in sets(corpus).items():
            vectors = embed(encoder, judged)
            if not np.isfinite(vectors).all():
                raise ValueError(
                    f"{folder} gives features that are not finite; its training has diverged: lower train.lr"
                )
            store.save_vectors(vectors, out / name)
            features = Features(vectors, judged.labels, judged.splits, judged.ids, judged.classes)
            for probe in sorted(wanted):
                task = f"{probe} ({name})" if name else probe
                found[task] = job.call(modalities.probe(probe), f"probes.{probe}", features, seed=job.seed)
    return found


def sets(corpus: Any) -> dict[str, Any]:
    """What is encoded and judged: the corpus itself, as "", unless other sets alone have labels; and those, by name."""
    labelled = {name: each for name, each in corpus.tasks().items() if (each.labels >= 0).any()}
    return labelled if labelled and (corpus.labels < 0).all() else {"": corpus} | labelled


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
