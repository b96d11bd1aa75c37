"""Depth beside pictures: shards and camera are read, HHA is of the right rows, and NYU's zip becomes a corpus."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modalities.image.corpus import Images, corpus
from modalities.image.ingest import ingest
from modalities.image.reading.rgbd import Camera
from modalities.image.shared.depth import centred, depths, read_hha, write_hha
from modalities.image.shared.hha import Intrinsics, hha
from tests.conftest import ROOT, pictures

CAMERA = Intrinsics(22.0, 22.0, 9.5, 9.5)
NYU = ROOT / "../shared/data/image/nyuv2/nyuv2.zip"


def with_depth(folder: Path, count: int, side: int = 20) -> Images:
    """Toy pictures, each of a sloping plane of its own: 1 to 4 metres away, one corner missing."""
    made = replace(pictures(count, side), folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    v = np.arange(side)[:, None] * np.ones(side)
    depth = (rng.uniform(2, 4, (count, 1, 1)) - rng.uniform(0.01, 0.05, (count, 1, 1)) * v).astype(np.float16)
    depth[:, :4, :4] = 0
    start = 0
    for number, shard in enumerate(made.shards):
        np.save(folder / f"depth-{number:05d}.npy", depth[start : start + len(shard)])
        start += len(shard)
    (folder / "meta.json").write_text(json.dumps({"classes": [], "intrinsics": CAMERA._asdict()}))
    return made


def test_hha_is_of_the_rows_that_are_asked_for(tmp_path: Path) -> None:
    whole = with_depth(tmp_path / "corpus", 12)
    some = whole.take(np.array([10, 1, 7]))
    write_hha(some, tmp_path, "a.key")
    first, known = read_hha(some, tmp_path)
    depth = np.concatenate([np.load(file) for file in sorted((tmp_path / "corpus").glob("depth-*.npy"))])
    for place, row in enumerate((10, 1, 7)):
        metres = depth[row].astype(np.float64)
        expected = hha(100 * metres, CAMERA, metres == 0)
        assert np.array_equal(first.pixels(np.array([place]))[0], expected.channels)
        assert np.array_equal(known.pixels(np.array([place]))[0, :, :, 1] > 0, expected.known)
    assert not known.pixels(np.arange(3))[:, :4, :4].any()


def test_centred_hha_is_zero_in_the_middle_and_one_at_the_ends() -> None:
    torch.testing.assert_close(centred(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([-1.0, 0.0, 1.0]))


def test_a_corpus_without_depth_is_refused_with_the_way_out(tmp_path: Path) -> None:
    message = (
        r"a\.key is depth, but the corpus has no depth; set it to lab, or image\.ingest\.source to rgbd:PATH"
    )
    with pytest.raises(ValueError, match=message):
        depths(pictures(8, 20), "a.key")
    made = with_depth(tmp_path, 8)
    (tmp_path / "meta.json").write_text(json.dumps({"classes": []}))
    with pytest.raises(ValueError, match=message):
        depths(made, "a.key")


def test_depth_that_does_not_match_the_pictures_is_refused(tmp_path: Path) -> None:
    made = with_depth(tmp_path, 8)
    np.save(tmp_path / "depth-00001.npy", np.ones((3, 20, 20), np.float16))
    with pytest.raises(ValueError, match=r"other numbers of rows; write both anew"):
        depths(made, "a.key")


def test_a_picture_without_any_depth_is_named(tmp_path: Path) -> None:
    made = with_depth(tmp_path, 8)
    np.save(tmp_path / "depth-00001.npy", np.zeros((4, 20, 20), np.float16))
    with pytest.raises(ValueError, match=r"picture 0004: depth of \(20, 20\) with 100% missing"):
        write_hha(made, tmp_path, "a.key")


KEYS: dict[str, Any] = {"side": 16, "fit": "crop", "labels": "none", "test": 0.0, "max_rejected": 0.0, "limit": 0,
                        "composed": {}, "tasks": {}}  # fmt: skip


def archive(folder: Path, leave_out: str = "") -> Path:
    """Three pictures of 60 x 45 whose depth is 12 steps for 20 of their red, in a white frame."""
    path = folder / "small.zip"
    with zipfile.ZipFile(path, "w") as members:
        for name, red in (("train/rgb/1.jpg", 2), ("train/rgb/2.jpg", 6), ("test/rgb/3.jpg", 10)):
            picture = np.full((45, 60, 3), 255, np.uint8)
            picture[4:-4, 4:-4] = [20 * red, 0, 90]
            depth = np.full((45, 60), 255, np.uint8)
            depth[4:-4, 4:-4] = red * 12
            depth[4:-4, 4:30] += 5
            for member, pixels, kind in (
                (name, picture, "JPEG"),
                (name.replace("rgb", "depth").replace("jpg", "png"), depth, "PNG"),
            ):
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, kind, quality=95)
                if member != leave_out:
                    members.writestr(member, stream.getvalue())
    return path


def test_a_zip_of_pictures_and_depth_becomes_a_corpus_whose_rows_agree(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    ingest(f"rgbd:{archive(tmp_path)}", out, **KEYS)
    made = corpus(out)
    assert sorted(made.splits) == ["test", "train", "train"]
    shards, camera = depths(made, "a.key")
    for row in range(3):
        red = round(float(made.pixels(np.array([row]))[0, :, :, 0].mean()) / 20)
        depth = shards[0][row].astype(float)
        assert depth[8, -1] == pytest.approx(12 * red / 25.5, abs=2e-3)
        assert depth[8, 0] == pytest.approx((12 * red + 5) / 25.5, abs=2e-3)
        assert depth.max() < 8  # nothing of the frame
        # The step in depth lies at column 30 of 60: (30 - 4 - (52 - 37) / 2) * 16 / 37 = 8.0 of 16.
        assert depth[0, 7] > depth[0, 8]
    # A point seen at column u of the camera's own 640 is seen at (u + 0.5) * 60/640 - 4 - 7.5, times 16/37, less 0.5.
    assert camera.cx == pytest.approx((326.1 * 60 / 640 - 11.5) * 16 / 37 - 0.5)
    assert camera.cy == pytest.approx((254.2 * 60 / 640 - 4) * 16 / 37 - 0.5)
    assert camera.fx == pytest.approx(518.9 * 60 / 640 * 16 / 37)


def test_a_picture_whose_depth_is_not_in_the_zip_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"small has no train/depth/2\.png; image\.ingest\.source rgbd: needs"
    ):
        ingest(f"rgbd:{archive(tmp_path, leave_out='train/depth/2.png')}", tmp_path / "corpus", **KEYS)


def test_a_folder_with_its_own_camera_and_sixteen_bits(tmp_path: Path) -> None:
    root, out = tmp_path / "rooms", tmp_path / "corpus"
    for name in ("rgb", "depth"):
        (root / "train" / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(root / f"train/rgb/{k}.png")
        depth = np.full((24, 32), 1500 + 250 * k, np.uint16)
        depth[0] = 0
        Image.fromarray(depth).save(root / f"train/depth/{k}.png")
    camera = {"fx": 100, "fy": 110, "cx": 31.5, "cy": 23.5, "width": 64, "steps": 1000}
    (root / "camera.json").write_text(json.dumps(camera))
    ingest(f"rgbd:{root}", out, **(KEYS | {"side": 24}))
    shards, found = depths(corpus(out), "a.key")
    assert sorted(float(plane[5, 5]) for plane in shards[0]) == pytest.approx([1.5, 1.75, 2.0], abs=1e-3)
    assert not shards[0][:, 0].any()
    # Half of 64 x 48: lengths halve; the middle of the picture is the middle of the square.
    assert found == pytest.approx((50, 55, 11.5, 11.5))
    (root / "camera.json").write_text(json.dumps(camera | {"steps": 0}))
    with pytest.raises(
        ValueError, match=r"camera\.json: fx, fy, width and steps must be above 0.*it needs fx"
    ):
        ingest(f"rgbd:{root}", tmp_path / "again", **KEYS)
    with pytest.raises(FileNotFoundError, match=r"image\.ingest\.source is rgbd:.*no such folder or zip"):
        ingest("rgbd:nowhere", tmp_path / "again", **KEYS)


def test_a_wider_picture_of_the_same_camera_sees_the_same_rays() -> None:
    small, large = (Camera(50, 50, 31.5, 23.5, 64, 1.0).square(size, size * 3 // 4, 48) for size in (64, 128))
    assert small == pytest.approx(large)


@pytest.mark.skipif(not NYU.exists(), reason="the developers' data are not here")
def test_real_rooms_have_upright_gravity_and_nearly_whole_hha() -> None:
    with zipfile.ZipFile(NYU) as members:
        names = sorted(name for name in members.namelist() if name.startswith("train/depth/"))[:12]
        planes = [np.asarray(Image.open(io.BytesIO(members.read(name))))[::3, ::3] for name in names]
    camera = Intrinsics(518.9 / 8, 519.5 / 8, 325.6 / 8, 253.7 / 8)
    found = [hha(plane / 25.5 * 100, camera, plane == 0) for plane in planes]
    tilts = np.rad2deg(np.arccos([each.gravity[1] for each in found]))
    assert np.median(tilts) < 20 and np.mean([each.known.mean() for each in found]) > 0.95
