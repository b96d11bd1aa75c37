"""The check of params.yaml: the settings of the project pass, and each kind of slip is one line that names it."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import check, cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def params() -> cli.Params:
    return cli.load(ROOT / "params.yaml")


def put(params: cli.Params, key: str, value: Any) -> None:
    """Set a key by its dotted name; `...` takes it away."""
    *parents, last = key.split(".")
    for parent in parents:
        params = params[parent]
    if value is ...:
        del params[last]
    else:
        params[last] = value


def test_the_settings_of_the_project_pass(params: cli.Params) -> None:
    assert check.problems(params) == []


def test_a_modality_that_runs_nothing_passes(params: cli.Params) -> None:
    params["run"]["image"] = []
    params["image"] |= {"probes": {}, "transfers": {}}
    assert check.problems(params) == []


SLIPS: list[tuple[str, Any, str]] = [
    ("sed", [1], "unknown key sed; did you mean seeds?"),
    ("build_seed", ..., "build_seed is missing"),
    ("build_seed", 1.5, "build_seed is 1.5; use a whole number"),
    ("seeds", [], "seeds is []; use a list of whole numbers"),
    ("seeds", [True], "seeds is [True]; use a list of whole numbers"),
    ("seeds", 17, "seeds is 17; use a list of whole numbers"),
    ("seeds", [17, 17], "seeds is [17, 17]; each makes one run"),
    ("schedule.cron", "0 3 * *", 'schedule.cron is "0 3 * *"; use five fields'),
    ("schedule.cron", "0 24 * * *", 'its hour is "24": use 0 to 23'),
    ("schedule.cron", "0 3 * * someday", 'its weekday is "someday"'),
    ("schedule.cron", 3, "schedule.cron is 3; input should be a valid string"),
    ("schedule.corn", "", "unknown key schedule.corn; did you mean cron?"),
    ("schedule.retries", -1, "schedule.retries is -1; use 0 or more"),
    ("run", [], "run is []; use a list of methods for each modality"),
    ("run.imag", [], 'run: no modality "imag"'),
    ("run.image", ..., "run.image is missing; write image: [] for none"),
    ("run.image", "rotation", "run.image is 'rotation'; use a list of methods"),
    ("run.image", ["rotation", "rotation"], "run.image lists rotation more than once"),
    ("run.image", ["rotatoin"], "did you mean rotation?"),
    ("image", ..., "image is missing"),
    ("image.encodr", {}, "unknown key image.encodr; did you mean encoder?"),
    ("image.probes", ..., "image.probes is missing"),
    ("image.ingest.source", ..., "image.ingest.source is missing"),
    ("image.ingest.source", 7, "image.ingest.source is 7; name a folder or a data set"),
    ("image.ingest.sid", 7, "unknown key image.ingest.sid; did you mean side?"),
    ("image.ingest.side", "big", "image.ingest.side is 'big'; input should be a valid integer"),
    ("image.encoder.width", ..., "image.encoder.width is missing"),
    ("image.encoder.stem", "5x5", "image.encoder.stem is '5x5'; input should be"),
    ("image.train.epochs", 3, "unknown key image.train.epochs"),
    ("image.train.seed", 3, "unknown key image.train.seed"),
    ("image.pretexts.rotation", ..., "no image.pretexts.rotation"),
    (
        "image.pretexts.rotation.train",
        ...,
        "image.pretexts.rotation.train is missing; write train: {} for none",
    ),
    ("image.pretexts.rotation.modle", {}, "unknown key image.pretexts.rotation.modle"),
    ("image.pretexts.rotation.build", {"seed": 1}, "unknown key image.pretexts.rotation.build.seed"),
    (
        "image.pretexts.rotation.model.turn",
        4,
        "unknown key image.pretexts.rotation.model.turn; did you mean turns?",
    ),
    ("image.pretexts.rotation.model.turns", "four", "image.pretexts.rotation.model.turns is 'four'"),
    ("image.pretexts.rotation.train", {"rl": 1.0}, "unknown key image.pretexts.rotation.train.rl"),
    ("image.probes.knnn", {}, 'image.probes: no probe "knnn"; have'),
    ("image.probes.knn.j", 1, "unknown key image.probes.knn.j"),
    ("image.transfers.fine", {}, 'image.transfers: no transfer of image "fine"; have'),
    ("image.transfers", None, "image.transfers is None; it needs a block of names"),
]


@pytest.mark.parametrize(("key", "value", "said"), SLIPS, ids=[f"{key}={value!r}" for key, value, _ in SLIPS])
def test_each_slip_is_one_line_that_names_the_key(
    params: cli.Params, key: str, value: Any, said: str
) -> None:
    put(params, key, value)
    found = check.problems(params)
    assert len(found) == 1
    assert found[0].startswith("params.yaml: ") and said in found[0] and "\n" not in found[0]


@pytest.mark.parametrize(
    "cron", ["0 3 * * *", "*/15 * * * *", "0 8-18/2 1,15 * mon-fri", "30 4 1 jan sun", "0 0 * * 7"]
)
def test_cron_lines_that_prefect_takes_pass(cron: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    CronSchedule(cron=cron)
    check.schedule(cron=cron, retries=0, retry_delay=0)


def test_a_block_whose_method_has_no_file_matters_only_when_it_runs(params: cli.Params) -> None:
    params["image"]["pretexts"]["planned"] = {"build": {}, "model": {"anything": 1}, "train": {}}
    assert check.problems(params) == []
    params["run"]["image"] = [*params["run"]["image"], "planned"]
    assert 'run.image: no pretext of image "planned"' in "".join(check.problems(params))


def test_all_slips_are_told_at_once_with_exit_status_2(params: cli.Params, tmp_path: Path) -> None:
    wrong = copy.deepcopy(params)
    put(wrong, "seeds", [])
    put(wrong, "image.probes.knn.j", 1)
    from ruamel.yaml import YAML

    YAML(typ="safe").dump(wrong, tmp_path / "params.yaml")
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from stages import check; check.main()",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == len(check.problems(wrong)) == 2
