"""Files that last: everything is on the disk before it has its name, and a place that refuses says why."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natfp_bench.base import disk
from natfp_bench.base.errors import StoreError, UserError


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was synced, made and renamed, in this order."""
    seen: list[tuple[str, ...]] = []

    def watched(name: str, paths: Callable[..., tuple[str, ...]]) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            seen.append((name, *paths(*arguments)))
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    watched("fsync", lambda descriptor: (os.readlink(f"/proc/self/fd/{descriptor}"),))
    watched("replace", lambda source, target: (str(source), str(target)))
    watched("mkdir", lambda path, *_: (str(path),))
    return seen


def test_a_folder_gets_its_name_when_all_of_it_is_on_the_disk(tmp_path: Path, done: list[tuple[str, ...]]) -> None:
    source, target = tmp_path / "temp", tmp_path / "a" / "b" / "c"
    for name in ("one", "deep/two", "deep/er/three"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "empty").mkdir()
    everything = {("fsync", str(path)) for path in [source, *source.rglob("*")]}
    done.clear()
    disk.move(source, target)
    renamed = done.index(("replace", str(source), str(target)))
    assert everything <= set(done[:renamed])
    assert done[renamed + 1 :] == [("fsync", str(target.parent))]
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert done.index(("mkdir", str(folder))) < done.index(("fsync", str(folder.parent))) < renamed
    assert (target / "deep" / "er" / "three").read_text() == "deep/er/three"
    done.clear()
    disk.make_folder(target)
    assert done == [], "what is there already costs nothing"


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, before: str | None, done: list[tuple[str, ...]]) -> None:
    path = tmp_path / "new" / "file"
    if before:
        path.parent.mkdir()
        path.write_text(before)

    def fail() -> None:
        with disk.whole(path) as fresh:
            fresh.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (path.read_text() if path.exists() else None) == before
    with disk.whole(path) as fresh:
        fresh.write_text("new")
    assert path.read_text() == "new"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
    assert [(name, Path(at).name) for name, *_, at in done[-3:]] == [
        ("fsync", fresh.name),
        ("replace", "file"),
        ("fsync", "new"),
    ]


def test_a_file_system_that_cannot_sync_folders_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    for number in disk.NO_SYNC:
        disk.make_folder(tmp_path / "a" / str(number))
    number = errno.EIO
    with pytest.raises(OSError, match="no"):
        disk.make_folder(tmp_path / "b")


PLACES: dict[str, tuple[str, str]] = {
    "a file": ("file", "a file or a broken link is where a folder should be"),
    "below a file": ("file/a/b", "a file or a broken link is where a folder should be (FOLDER/file)"),
    "a link to nothing": ("lost", "a file or a broken link is where a folder should be"),
    "a link to itself": ("round/a", "a file or a broken link is where a folder should be (FOLDER/round)"),
    "nowhere": ("/proc/nope/store", "nothing can be made there: No such file or directory"),
    "too long": ("x" * 300, "the path is too long"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_be_a_folder_says_why(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "nothing" / "here")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    given, why = PLACES[place]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError) as caught:
        disk.usable_folder(tmp_path / given, "store")
    said = f"store {tmp_path / given} is not writable: {why.replace('FOLDER', str(tmp_path))}\n  choose another folder"
    assert str(caught.value) == said
    assert sorted(tmp_path.rglob("*")) == before


REFUSALS = [*disk.REFUSED, *disk.NO_SPACE, errno.EIO, errno.ESTALE, errno.ENODEV]


@pytest.mark.parametrize(
    ("call", "number"),
    # A folder that exists was made by another process.
    [(call, one) for call in ("mkdir", "fsync", "open") for one in REFUSALS if (call, one) != ("mkdir", errno.EEXIST)],
)
def test_every_refusal_of_the_system_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(UserError, match=r"is not writable: |is full; ") as caught:
        disk.usable_folder(tmp_path / "new", "output folder")
    assert str(caught.value).count(str(tmp_path / "new")) == 1
    assert "\n  " in str(caught.value)
