"""Folders and labels as people have them: links, READMEs, look-alike labels, pipes, foreign names."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from natfp_bench.base import disk
from natfp_bench.base.errors import UserError
from natfp_bench.corpus import labelled_texts as texts
from natfp_bench.plan.text_settings import TextsSpec


def labels_in(*paths: Path) -> dict[str, int]:
    found = texts.read(TextsSpec(paths=tuple(map(str, paths))), 4)
    return dict(Counter(found.labels))


def folder_of_labels(root: Path, *labels: str) -> Path:
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(8):
            (root / label / f"{number}.txt").write_text(f"{label} wrote text {number}")
    return root


def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    there, here = folder_of_labels(tmp_path / "there", "b", "c"), folder_of_labels(tmp_path / "here", "a")
    (here / "b").symlink_to(there / "b")
    (here / "linked").symlink_to("../there/c")
    (here / "a" / "again").symlink_to(here)
    assert labels_in(here) == {"a": 8, "b": 8, "linked": 8}
    (here / "a" / "gone.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"gone\.txt: a link that leads nowhere"):
        labels_in(here)


@pytest.mark.parametrize("name", ["README.md", "readme.txt", "README", "ReadMe.MD"])
def test_a_readme_is_no_label(tmp_path: Path, name: str) -> None:
    folder = folder_of_labels(tmp_path / "texts", "a", "b")
    (folder / name).write_text("one\n\ntwo\n\nthree")
    (folder / "a" / name).write_text("about a")
    assert labels_in(folder) == {"a": 8, "b": 8}
    found = texts.read(TextsSpec(paths=(str(folder),)), 4)
    assert found.removals(4) == ("README files in folders are no texts; 2 left out",)


@pytest.mark.parametrize(("one", "other"), [("A", "A "), ("a b", "a  b"), ("caf\u00e9", "cafe\u0301"), (" x", "x\t")])
def test_labels_that_look_the_same(tmp_path: Path, one: str, other: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {i}", "label": [one, other][i % 2]}) + "\n" for i in range(16)))
    with pytest.raises(UserError, match=r"the labels .* and .* look the same"):
        labels_in(path)


def test_a_pipe_is_no_missing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: neither a file nor a folder"):
        labels_in(tmp_path / "pipe")


def test_folders_whose_names_are_not_utf_8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    folder_of_labels(folder, "a", "b")
    with pytest.raises(UserError, match="its name is not UTF-8"):
        labels_in(folder)
    with pytest.raises(UserError, match="its name is not UTF-8"):
        disk.usable_folder(folder, "store")


def test_two_labels_may_be_links_to_one_folder(tmp_path: Path) -> None:
    folder = folder_of_labels(tmp_path / "texts", "a")
    for name in ("b", "c"):
        (folder / name).symlink_to("a")
    assert labels_in(folder) == {"a": 8, "b": 8, "c": 8}
    one, other = folder_of_labels(tmp_path / "one", "x"), folder_of_labels(tmp_path / "other", "y")
    (one / "x" / "to").symlink_to(other / "y")
    (other / "y" / "back").symlink_to(one / "x")
    with pytest.raises(UserError, match="a folder in the folder of a label"):
        labels_in(one)  # it ends
