"""Build what one pretext reads: `python -m stages.build image rotation`. Writes its preview beside it."""

import numpy as np

import modalities
from stages import cli, store


def build(job: cli.Job) -> None:
    """The method's data, drawn once for all seeds, and a picture of its task by an untrained network."""
    pretext = modalities.pretext(job.modality, job.method)
    corpus = modalities.corpus(job.modality)(job.path(store.corpus_path)).only("train")
    with store.writing(job.path(store.built_path)) as out:
        out.mkdir()
        job.call(pretext.build, "build", corpus, out, seed=job.seed)
        encoder = job.call(modalities.encoder(job.modality), "encoder")
        made = job.call(pretext, "model", encoder, corpus, out)
        made.preview(out / "preview.png", np.random.default_rng(job.seed))
        store.write_json(out / "about.json", {"seed": job.seed, "build": job.params["build"]})


if __name__ == "__main__":
    cli.main(build, takes=("modality", "method"))
