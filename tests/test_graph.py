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
from stages import code
from tests.conftest import ROOT, params


def imports(file: Path) -> Iterator[str]:
    """Dotted names of modules that a file imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(modality: str) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load(ROOT / "modalities" / modality / "dvc.yaml")["stages"]
    return stages


@pytest.mark.parametrize("modality", modalities.modalities())
def test_every_stage_depends_on_the_code_that_is_found_for_it(modality: str) -> None:
    have = params()
    have["run"][modality] = modalities.names(modality, "pretexts")
    found = {name for name, _ in code.entries(have, modality)}
    for name, stage in graph(modality).items():
        kind = name.removesuffix(f"-{modality}")
        (dep,) = [dep for dep in stage["deps"] if dep.startswith("artifacts/code/")]
        assert f"python -m stages {kind} {modality}" in stage["cmd"]
        of_method = kind in ("build", "pretrain")
        assert dep == f"artifacts/code/{modality}/{kind}{'/${item.method}' * of_method}.txt"
        methods = have["run"][modality] if of_method else [""]
        assert {f"{kind}/{method}".rstrip("/") for method in methods} <= found
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        assert name == "source" or f"artifacts/code/{name}.txt" in stage["deps"]


@pytest.mark.parametrize("stage", ["build", "pretrain"])
def test_what_python_really_imports_is_found(stage: str) -> None:
    """Against the interpreter: import what a stage imports, and see which of the project's modules are loaded."""
    starts = code.method("image", stage, "cpc2")
    names = [start.removesuffix(".py").replace("/", ".") for start in starts]
    show = (
        "print(*{m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('stages', 'modalities')})"
    )
    run = f"import sys, importlib; [importlib.import_module(name) for name in {names}]; {show}"
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {str(Path(file).relative_to(ROOT)) for file in done.stdout.split() if file != "None"}
    loaded = {file for file in loaded if not file.endswith("__init__.py")}
    assert loaded <= code.reached(starts)
    assert {
        "modalities/image/pretexts/cpc2.py",
        "modalities/image/pretexts/cpc.py",
        "modalities/base.py",
    } <= loaded


def test_a_method_depends_on_itself_and_what_it_imports_and_on_no_other() -> None:
    found = set(code.reached(code.method("image", "pretrain", "rotation")))
    assert {path for path in found if "/pretexts/" in path} == {"modalities/image/pretexts/rotation.py"}
    assert "modalities/image/shared/tiles.py" not in found and "stages/loop.py" in found


def test_comments_and_docstrings_do_not_count_and_anything_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)

    def digest(text: str) -> str:
        (tmp_path / "a.py").write_text(text)
        code.known.cache_clear()
        return code.known("a.py").digest

    first = digest('"""One."""\n\ndef f(x: int) -> int:\n    """Says."""\n    return x + 1  # why\n')
    assert digest("def f(x: int) -> int:\n\n    return (x + 1)\n") == first
    assert digest("def f(x: int) -> int:\n    return x + 2\n") != first
    assert digest('def f(x: int) -> int:\n    "says"\n    y = "says"\n    return x + 1\n') != first
    code.known.cache_clear()


def test_what_was_seen_of_a_text_is_remembered_and_a_spoilt_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MEMORY", tmp_path / "code.json")
    starts = code.method("image", "pretrain", "rotation")

    def fresh(parsed: bool) -> list[str]:
        for each in (code.known, code._memory):
            each.cache_clear()
        with monkeypatch.context() as patch:
            if not parsed:
                patch.setattr(code, "_read", None)
            return code.lines(starts)

    first = fresh(parsed=True)
    code.remember()
    assert fresh(parsed=False) == first
    for spoilt in ("{", "[1]", '{"a": 1}', '{"a": [1, 2, 3]}'):
        (tmp_path / "code.json").write_text(spoilt)
        assert fresh(parsed=True) == first
    code.known.cache_clear()
    code._memory.cache_clear()


@pytest.mark.parametrize("name", ["report", "export"])
def test_the_end_of_the_graph_depends_on_all_it_reads(name: str) -> None:
    stage = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][name]
    assert {"run", "seeds"} <= set(stage["params"])
    read = {"stages/templates", "artifacts/code/captions.txt", "artifacts/models", "artifacts/metrics"}
    assert read <= set(stage["deps"])


def test_what_files_say_of_themselves_is_written_down_for_the_report() -> None:
    code.summary(code.method("image", "pretrain", "rotation"))
    said = dict(line.split(" ", 1) for line in code.captions() if " " in line)
    assert said["modalities/image/pretexts/rotation.py"].startswith("Rotation: say which quarter turn")
    assert "modalities/probes/knn.py" in said and "modalities/image/baselines/pixels.py" in said


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
    assert {"source", "ingest-image", "baselines-image", "report"} <= found


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
    text = text.replace("    random:", "    constant: {build: {}, model: {}, train: {}}\n    random:", 1)
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
