"""What a modality's tasks score without an encoder: `python -m stages.baselines image`.

Copying the first mask, counting words, raw pixels: what an encoder must beat to have been worth its training.
"""

import modalities
from stages import cli, store
from stages.ingest import wanted


def baselines(job: cli.Job) -> None:
    """Write artifacts/metrics/<modality>/baselines.json: metrics by task, by baseline, all from `build_seed`."""
    blocks = dict(cli.block(job.params, "baselines"))
    for name, params in blocks.items():
        where = f"{job.modality}.baselines.{name}"
        cli.check(modalities.baseline(job.modality, name), params, where, ("seed",))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in sorted(blocks) if wanted(job.modality) else ():
        corpus = modalities.corpus(job.modality)(job.path(store.corpus_path))
        run = modalities.baseline(job.modality, name)
        found[name] = {}  # stays empty where the corpus has none of its tasks
        for measure, value in job.call(run, f"baselines.{name}", corpus, seed=job.seed).items():
            task, _, metric = measure.partition(".")
            found[name].setdefault(task, {})[metric] = value
    store.write_json(store.baselines_path(job.modality), found)


if __name__ == "__main__":
    cli.main(baselines, takes=("modality",))
