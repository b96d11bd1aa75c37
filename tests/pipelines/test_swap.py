"""Overlays: what they change and nothing else, with comments and layout kept; what they must not change."""

import copy
import difflib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import swap
from stages import cli

ROOT = Path(__file__).resolve().parents[2]

PARAMS = """\
# A head.
seeds: [17, 18]                    # one run each
run:
  image: [random, rotation]
image:
  ingest:
    source: 'openmoji'             # a folder
    side: 48
  train:
    samples: 30_000                # in all
    lr: 2.0e-3
    betas: [0.9, 0.999]
  pretexts:
    rotation:                      # arXiv:1803.07728
      build: {}
      model: {turns: 4}
      train: {}
  probes:
    knn: {k: 20, temperature: 0.07}
    linear: {strengths: [1.0e-4, 1.0]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small params.yaml in a folder of its own, whose settings always pass."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "params").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(swap, "problems", lambda params: [])
    return tmp_path


def overlay(project: Path, text: str, name: str = "mine") -> str:
    (project / "params" / f"{name}.yaml").write_text(text)
    return name


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_only_the_lines_of_the_overlay_change_and_their_comments_stay(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = overlay(
        project,
        "# why\nseeds: [3]\nimage:\n  train:\n    samples: 60_000_000  # of the overlay\n    lr: 5.0e-4\n",
    )
    swap.main([name])
    assert changed_lines(PARAMS, Path("params.yaml").read_text()) == [
        "-seeds: [17, 18]                    # one run each",
        "+seeds: [3]                         # one run each",
        "-    samples: 30_000                # in all",
        "-    lr: 2.0e-3",
        "+    samples: 60_000_000            # in all",
        "+    lr: 5.0e-4",
    ]
    assert capsys.readouterr().out.splitlines() == [
        "seeds: [17, 18] -> [3]",
        "image.train.samples: 30000 -> 60000000",
        "image.train.lr: 0.002 -> 0.0005",
    ]


def test_swapping_twice_changes_nothing_more(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = overlay(project, "image: {ingest: {side: 64}}")
    swap.main([name])
    once = Path("params.yaml").read_bytes()
    capsys.readouterr()
    swap.main([name])
    assert Path("params.yaml").read_bytes() == once
    assert capsys.readouterr().out == "params.yaml already says all of this\n"


def test_later_overlays_win_and_empty_maps_empty(project: Path) -> None:
    first = overlay(project, "image: {ingest: {side: 64}, probes: {}}", "first")
    second = overlay(
        project, "image: {ingest: {side: 96}, pretexts: {rotation: {train: {lr: 1.0e-2}}}}", "second"
    )
    swap.main([first, f"params/{second}.yaml"])
    params = cli.load()
    assert params["image"]["ingest"]["side"] == 96
    assert params["image"]["probes"] == {}
    assert params["image"]["pretexts"]["rotation"]["train"] == {"lr": 0.01}
    assert "lr: 1.0e-2\n" in Path("params.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imge: {}", "params/mine.yaml: unknown key imge; did you mean image?"),
        ("image: {ingest: {sid: 3}}", "unknown key image.ingest.sid; did you mean side?"),
        ("image: {train: {epochs: 3}}", "unknown key image.train.epochs; have betas, lr, samples"),
        ("image: {pretexts: {rotatoin: {}}}", "unknown key image.pretexts.rotatoin; did you mean rotation?"),
        (
            "image: {pretexts: {rotation: {train: {sample: 1}}}}",
            "image.pretexts.rotation.train.sample; did you mean samples?",
        ),
        ("image: {ingest: {side: {a: 1}}}", "image.ingest.side is {'a': 1}; params.yaml has one value there"),
        ("image: {train: 7}", "image.train is 7; params.yaml has a map of keys there"),
        ("- image", "params/mine.yaml holds no keys"),
        ("image: [", "params/mine.yaml is not YAML"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_and_nothing_is_written(
    project: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        swap.main([overlay(project, text)])
    assert error.value.code == 2
    assert said in capsys.readouterr().err
    assert Path("params.yaml").read_text() == PARAMS


def test_an_overlay_that_does_not_exist_is_answered_with_those_that_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay(project, "{}", "cifar10")
    with pytest.raises(SystemExit):
        swap.main(["params/cifr10.yaml"])
    assert 'no overlay "cifr10"; have cifar10; did you mean cifar10?' in capsys.readouterr().err


def test_settings_that_would_not_run_are_not_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def complain(params: Any) -> list[str]:
        seen.append(params)
        return ["params.yaml: seeds is []"]

    monkeypatch.setattr(swap, "problems", complain)
    with pytest.raises(SystemExit):
        swap.main([overlay(project, "seeds: []")])
    assert seen[0]["seeds"] == [] and "params.yaml: seeds is []" in capsys.readouterr().err
    assert Path("params.yaml").read_text() == PARAMS


def test_a_write_that_fails_leaves_the_old_file_whole(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SystemExit):
        swap.main([overlay(project, "seeds: [3]")])
    assert Path("params.yaml").read_text() == PARAMS


AWKWARD = """\
seeds: [3]
run: {image: [random]}
image:
  ingest: {source: "/a b/it's, [x] {y}: z", side: 8}
  train: {lr: 1.0e-05, betas: [0.5, 0.9]}
  pretexts:
    rotation: {train: {lr: [1.0e-3, 2.0e-3]}}
    simclr: {build: {}, model: {temperature: 0.5, recipe: {flip: true, kind: "null"}}, train: {}}
  probes: {}
"""


def test_options_mean_to_dvc_what_the_swap_writes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Oracle: DVC's own reader of `-S`, on a copy of params.yaml, after a real shell and xargs took the quotes off."""
    from dvc.utils.hydra import apply_overrides  # type: ignore[import-untyped]

    name = overlay(project, AWKWARD)
    swap.main([name, "--options"])
    options = capsys.readouterr().out
    assert Path("params.yaml").read_text() == PARAMS
    words = subprocess.run(
        ["xargs", sys.executable, "-c", "import sys; print('\\n'.join(sys.argv[1:]))"],
        input=options,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words == shlex.split(options)
    assert words[::2] == ["-S"] * (len(words) // 2)
    Path("copy.yaml").write_text(PARAMS)
    apply_overrides("copy.yaml", words[1::2])
    swap.main([name])
    assert cli.load(Path("copy.yaml")) == cli.load()


def test_params_yaml_goes_through_the_parser_without_losing_a_byte() -> None:
    import io

    text = (ROOT / "params.yaml").read_text()
    out = io.StringIO()
    swap._yaml().dump(swap._yaml().load(text), out)
    assert out.getvalue() == text


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "params").glob("*.yaml")))
def test_every_overlay_of_the_project_fits_its_params_yaml_and_passes_the_check(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    before = copy.deepcopy(cli.load())
    text, changed = swap.swapped([name])
    assert changed
    comments = [line.split("#", 1)[1] for line in Path("params.yaml").read_text().splitlines() if "#" in line]
    assert [line.split("#", 1)[1] for line in text.splitlines() if "#" in line] == comments
    assert cli.load() == before
