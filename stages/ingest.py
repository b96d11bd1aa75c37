"""Read a modality's raw data into a corpus: `python -m stages.ingest image`."""

from dataclasses import replace

import modalities
from stages import cli, store


def ingest(job: cli.Job) -> None:
    """Fill artifacts/corpus/<modality>, or leave what was there where something goes wrong."""
    params = dict(cli.block(job.params, "ingest"))
    source = params.pop("source", None)
    if not isinstance(source, str) or not source.strip():
        raise ValueError(
            f"params.yaml: {job.modality}.ingest.source is {source!r}; use a folder or a data set's name"
        )
    rest = replace(job, params=job.params | {"ingest": params})
    with store.writing(job.path(store.corpus_path)) as out:
        rest.call(modalities.ingest(job.modality), "ingest", source, out)


if __name__ == "__main__":
    cli.main(ingest, takes=("modality",))
