"""Sources: which files of a folder or a zip are taken, and that the walk always ends."""

import os
import socket
import stat
import zipfile
from pathlib import Path

import pytest

from modalities.common.files import escapes
from modalities.image.reading.decode import Reason, Refused
from modalities.image.reading.sources import FolderReader, archive, folder
from tests.image.files import classes, encoded, picture, put, run, touch


def test_only_files_that_may_be_pictures_are_taken(tmp_path: Path) -> None:
    root = touch(
        tmp_path, "a.jpg", "b/c.PNG", "b/d", "notes.txt", "b/labels.CSV", "Thumbs.db", "README", ".hidden.png"
    )
    touch(root, ".git/x.png", "__MACOSX/x.png", "b/clip.mp4")
    assert [item.name for item in folder(root).items] == ["a.jpg", "b/c.PNG", "b/clip.mp4", "b/d"]


def test_the_walk_ends_whatever_links_to_what(tmp_path: Path) -> None:
    root = touch(tmp_path / "in", "a/1.png", "z/2.png")
    touch(tmp_path / "elsewhere", "3.png")
    (root / "a/to z").symlink_to("../z")
    (root / "z/to a").symlink_to("../a")
    (root / "a/to root").symlink_to("..")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "linked.png").symlink_to("a/1.png")
    (root / "itself.png").symlink_to("itself.png")
    (root / "nothing.png").symlink_to("gone.png")
    found = folder(root)
    # z/2.png goes by its real path, though a/to z comes first by name.
    assert [item.name for item in found.items] == ["a/1.png", "linked.png", "linked/3.png", "z/2.png"]
    assert {(r.file, r.reason) for r in found.rejected} == {
        ("itself.png", Reason.UNREADABLE),
        ("nothing.png", Reason.MISSING),
    }


def test_pipes_and_sockets_do_not_block(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    os.mkfifo(root / "cats/pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s.png"))
        meta, rows, _ = run(root, tmp_path / "out")
    assert len(rows) == 6 and meta["notes"] == ["2 pipes, sockets or devices left out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_rejected(tmp_path: Path) -> None:
    root = classes(tmp_path / "in")
    put(root / "cats/secret.png", encoded(picture(9))).chmod(0)
    put(root / "closed/1.png", encoded(picture(10))).parent.chmod(0)
    _, _, rejected = run(root, tmp_path / "out", max_rejected=0.5)
    assert {file: reason for file, (reason, _) in rejected.items()} == {
        "cats/secret.png": "unreadable",
        "closed": "unreadable",
    }
    (root / "closed").chmod(stat.S_IRWXU)


def test_a_file_that_goes_or_shrinks_after_it_was_listed_costs_only_itself(tmp_path: Path) -> None:
    read = FolderReader(touch(tmp_path, "a.png"))
    assert read("a.png").picture == b"x"
    (tmp_path / "a.png").write_bytes(b"")
    assert read("a.png").picture == b""
    (tmp_path / "a.png").unlink()
    with pytest.raises(Refused) as refused:
        read("a.png")
    assert refused.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a/../../b.png", "C:/a.png", "..\\a.png", ""])
def test_paths_that_leave_their_folder(name: str) -> None:
    assert escapes(name) and not escapes("a/b..c/.d.png")


def test_a_zip_with_hostile_and_odd_members(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name in (
            "../up.png",
            "/root.png",
            "cats/",
            "cats/ok.png",
            "dogs\\win.png",
            "__MACOSX/x.png",
            "notes.txt",
        ):
            packed.writestr(name, encoded(picture(len(name))))
        link = zipfile.ZipInfo("cats/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    found = archive(path)
    assert [item.name for item in found.items] == ["cats/ok.png", "dogs/win.png"]
    assert [(r.file, r.reason.value) for r in found.rejected] == [
        ("../up.png", "outside the source"),
        ("/root.png", "outside the source"),
    ]
    data = bytearray(path.read_bytes())
    place = data.index(b"IDAT", data.index(b"cats/ok.png")) + 20
    data[place] ^= 255  # its checksum no longer fits
    path = put(tmp_path / "damaged.zip", bytes(data))
    found = archive(path)
    with pytest.raises(Refused, match="Bad CRC"):
        found.read(found.items[0].key)
