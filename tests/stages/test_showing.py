"""What stages leave to be looked at: text with marks is read, escaped and explained; anything else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages import page, results, showing, store


def test_of_each_method_the_first_seed_is_shown(tree: dict[str, Any]) -> None:
    found = dict(showing.results(results.read(tree)))
    assert list(found) == ["fine_tune"]
    (rotation,) = found["fine_tune"]
    assert (rotation.method, rotation.title) == ("rotation", "rotation")
    assert rotation.lines[0][:2] == [("The cat is ", ""), ("grey", "hidden")]
    assert rotation.legend == {"hidden": "hidden from the network", "wrong": "answered wrong"}


def test_text_is_escaped_and_marked_on_the_page(tree: dict[str, Any]) -> None:
    each = dict(showing.results(results.read(tree)))["fine_tune"][0]
    html = page.render("shown.html", each=each, alt="")
    assert '<span class="hidden">grey</span><span class="wrong"> &lt;b&gt;</span>' in html


def test_a_preview_may_be_text(tree: dict[str, Any]) -> None:
    file = store.built_path("image", "byol") / "preview.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([[["word", "asked"]]]))
    assert showing.preview("image", "byol").lines == [[("word", "asked")]]
    assert showing.preview("image", "rotation").image.startswith("data:image/png;base64,")


@pytest.mark.parametrize("text", ["{", "[[1]]", '[[["word", "blink"]]]', '[[["word", "", "more"]]]'])
def test_what_is_not_text_with_marks_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json is not text with marks .*delete it and run `dvc repro`"):
        showing.read(tmp_path / "a.json", "m", "t", "")


def test_every_mark_has_a_look() -> None:
    style = (page.TEMPLATES / "style.css").read_text()
    assert all(f".marked .{mark} {{" in style for mark in showing.MARKS if mark)
