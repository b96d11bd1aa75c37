"""Read a modality's raw data into a corpus: `python -m stages.ingest image`."""

from dataclasses import replace

import modalities
from stages import cli, store


def ingest(job: cli.Job) -> None:
    """Fill artifacts/corpus/<modality>, or leave what was there where something goes wrong.

    Where `run` lists no method of this modality, the folder says so and nothing is read or fetched.
    """
    params = dict(cli.block(job.params, "ingest"))
    source = params.pop("source", None)
    if not isinstance(source, str) or not source.strip():
        raise ValueError(
            f"params.yaml: {job.modality}.ingest.source is {source!r}; use a folder or a data set's name"
        )
    rest = replace(job, params=job.params | {"ingest": params})
    with store.writing(job.path(store.corpus_path)) as out:
        if not wanted(job.modality):
            out.mkdir()
            store.write_json(out / "meta.json", {"wanted": False})
            return
        rest.call(modalities.ingest(job.modality), "ingest", source, out)


def wanted(modality: str) -> bool:
    """What the source stage found in `run`. True where it has not run: then somebody asked for this stage alone."""
    path = store.source_path(modality)
    return not path.exists() or bool(store.read_json(path).get("wanted", True))


if __name__ == "__main__":
    cli.main(ingest, takes=("modality",))
