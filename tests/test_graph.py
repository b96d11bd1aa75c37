"""The graph: dvc.yaml expands, blocks and files agree, deps are complete, imports point one way."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import modalities
from tests.conftest import ROOT, params

# Files that cannot change a number: they find paths, check keys, print, draw.
INERT = {
    "stages/cli.py",
    "stages/store.py",
    "modalities/__init__.py",
    "modalities/common/progress.py",
    "modalities/image/shared/preview.py",
}


def imports(file: Path) -> Iterator[str]:
    """Dotted names of this project's modules that a file imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> Path | None:
    """The file of a module of this project, or None for other modules and for names inside a module."""
    path = ROOT.joinpath(*name.split("."))
    if path.with_suffix(".py").exists():
        return path.with_suffix(".py")
    return None


def reached(start: Path) -> set[str]:
    """All project files that a file imports, directly or through others."""
    todo, seen = [start], {start}
    while todo:
        here = todo.pop()
        for name in imports(here) if str(here.relative_to(ROOT)) not in INERT else ():
            found = file_of(name)
            if found and found not in seen:
                seen.add(found)
                todo.append(found)
    return {str(p.relative_to(ROOT)) for p in seen}


def graph(modality: str) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load(ROOT / "modalities" / modality / "dvc.yaml")["stages"]
    return stages


def entries(kind: str, modality: str, stage: dict[str, Any]) -> list[str]:
    """The files that run in one stage, beside its own: what it looks up by name."""
    here = f"modalities/{modality}"
    if kind == "source":
        return []
    if kind == "ingest":
        return [f"{here}/ingest.py"]
    if kind in ("build", "pretrain"):
        methods = params()["run"][modality]
        return [f"{here}/corpus.py", f"{here}/encoders.py"] + [f"{here}/pretexts/{m}.py" for m in methods]
    folder = "modalities/probes" if kind == "probe" else f"{here}/transfers"
    found = [str(p.relative_to(ROOT)) for p in (ROOT / folder).glob("*.py")]
    return [f"{here}/corpus.py", f"{here}/encoders.py", *found]


def covered(file: str, deps: list[str]) -> bool:
    return any(file == dep or file.startswith(dep.rstrip("/") + "/") for dep in deps)


@pytest.mark.parametrize("modality", modalities.modalities())
def test_every_file_that_can_change_a_number_is_a_dependency(modality: str) -> None:
    for name, stage in graph(modality).items():
        kind = name.split("-")[0]
        deps = [d.replace("${item.method}.py", "") for d in stage["deps"]]
        needed: set[str] = set().union(*(reached(ROOT / f) for f in entries(kind, modality, stage)))
        needed |= reached(ROOT / "stages" / f"{kind}.py")
        missing = {f for f in needed - INERT if not f.endswith("__init__.py") and not covered(f, deps)}
        assert not missing, f"{name} runs {sorted(missing)}, which are not in its deps"


@pytest.mark.parametrize("name", ["report", "export"])
def test_the_end_of_the_graph_depends_on_all_it_runs(name: str) -> None:
    stage = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][name]
    missing = {f for f in reached(ROOT / f"stages/{name}.py") - INERT if not covered(f, stage["deps"])}
    assert not missing
    assert {"run", "seeds"} <= set(stage["params"])


@pytest.mark.parametrize("modality", modalities.modalities())
def test_one_method_does_not_depend_on_another(modality: str) -> None:
    for name, stage in graph(modality).items():
        assert not any(d.rstrip("/").endswith("/pretexts") for d in stage["deps"]), name


def test_imports_point_one_way() -> None:
    below = {"pipelines": {"stages", "modalities"}, "stages": {"modalities"}, "modalities": set()}
    own = {"pipelines", "stages", "modalities", "tests", "benchmarks"}
    for package, allowed in below.items():
        for file in (ROOT / package).rglob("*.py"):
            used = {name.split(".")[0] for name in imports(file)} & own
            assert used <= allowed | {package}, (
                f"{file.relative_to(ROOT)} imports {used - allowed - {package}}"
            )


def test_modalities_do_not_import_each_other_but_video_may_use_image() -> None:
    for file in (ROOT / "modalities").rglob("*.py"):
        parts = file.relative_to(ROOT / "modalities").parts
        used = {n.split(".")[1] for n in imports(file) if n.startswith("modalities.") and n.count(".") > 0}
        others = (used & set(modalities.modalities())) - {parts[0]}
        allowed = {"image"} if parts[0] == "video" else set()
        assert others <= allowed, f"{file.relative_to(ROOT)} imports {others}"


@pytest.mark.parametrize("modality", modalities.modalities())
def test_methods_on_disk_and_blocks_agree(modality: str) -> None:
    assert set(params()[modality]["pretexts"]) == set(modalities.names(modality, "pretexts"))
    assert set(params()["run"][modality]) <= set(params()[modality]["pretexts"])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The working tree without artifacts, as a DVC project of its own."""
    for name in ("modalities", "stages", "dvc.yaml", "params.yaml", ".dvcignore"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    dvc(tmp_path, "init", "-q", "--no-scm")
    dvc(tmp_path, "config", "core.analytics", "false")
    return tmp_path


def dvc(where: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expanded(where: Path) -> set[str]:
    listed = dvc(where, "stage", "list", "--all", "--name-only").split()
    return {name.rpartition(":")[2] for name in listed}


def test_dvc_expands_one_stage_a_method_and_seed(clone: Path) -> None:
    found, have = expanded(clone), params()
    for method in have["run"]["image"]:
        assert f"build-image@{method}" in found
        for seed in have["seeds"]:
            for kind in ("pretrain", "probe", "transfer"):
                assert f"{kind}-image@{method}-{seed}" in found
    assert {"ingest-image", "report"} <= found


TOY = '''
"""Constant: a toy method."""

import numpy as np
import torch
from torch import Tensor

from modalities.base import Batch, Index, Pretext


class Constant(Pretext):
    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        return {"image": torch.from_numpy(self.corpus.pixels(index)).permute(0, 3, 1, 2).float() / 255}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        return {"loss": (self.encoder(batch["image"]) - 1).square().mean()}
'''

PRETRAIN = """
import json, sys
import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
where = Path("artifacts/corpus/image"); where.mkdir(parents=True)
np.save(where / "images-00000.npy", np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), np.uint8))
splits = ["train"] * 16 + ["test"] * 8
table = {"id": [f"{k}" for k in range(24)], "source": ["s"] * 24, "label": ["a", "b"] * 12, "split": splits}
pq.write_table(pa.table(table), where / "index.parquet")
(where / "meta.json").write_text(json.dumps({"classes": ["a", "b"], "fingerprint": "0"}))
"""


def test_a_method_is_a_file_and_a_params_block_and_no_third_place(clone: Path) -> None:
    (clone / "modalities/image/pretexts/constant.py").write_text(TOY)
    text = (clone / "params.yaml").read_text()
    text = text.replace("  pretexts:\n", "  pretexts:\n    constant: {build: {}, model: {}, train: {}}\n", 1)
    text = text.replace("image: [", "image: [constant, ", 1)
    (clone / "params.yaml").write_text(text)
    assert "build-image@constant" in expanded(clone)

    (clone / "corpus.py").write_text(PRETRAIN)
    for words in (
        ["corpus.py"],
        ["-m", "stages.check"],
        ["-m", "stages.build", "image", "constant"],
        ["-c", SMALL],
    ):
        done = subprocess.run(
            [sys.executable, *words], cwd=clone, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    about = json.loads((clone / "artifacts/models/image/constant/17/encoder.json").read_text())
    assert about["method"] == "constant"


SMALL = """
import sys
from stages import cli, pretrain
params = cli.load()
params["image"]["train"] |= {"samples": 32, "batch": 16, "health": 8}
pretrain.pretrain(cli.job(params, "image", "constant", 17))
"""
