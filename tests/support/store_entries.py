"""Entries of a store, and every damage that can happen to one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natfp_bench.pipeline.store import Entry

KEY = "ab" * 32


OTHER = "cd" * 32


def write(text: str = "hello") -> Callable[[Path], dict[str, Any]]:
    """Make a build function that writes two files, one of them in a folder."""

    def build(folder: Path) -> dict[str, Any]:
        (folder / "text.txt").write_text(text)
        (folder / "more").mkdir()
        (folder / "more" / "numbers.bin").write_bytes(bytes(range(256)))
        return {"texts": 1, "share": 0.1, "names": ["a", "b"]}

    return build


def never(folder: Path) -> dict[str, Any]:
    raise AssertionError("built again")


def flip(entry: Entry) -> None:
    path = entry.folder / "more" / "numbers.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def _another_entrys(entry: Entry) -> None:
    path = entry.folder / "manifest.json"
    path.write_text(path.read_text().replace(KEY, OTHER))


def _changed_meta(entry: Entry) -> None:
    path = entry.folder / "manifest.json"
    path.write_text(path.read_text().replace('"texts": 1', '"texts": 3'))


def _a_file(entry: Entry) -> None:
    shutil.rmtree(entry.folder)
    entry.folder.write_text("no folder")


DAMAGE: dict[str, tuple[Callable[[Entry], Any], str]] = {
    "flipped bit": (flip, "more/numbers.bin has changed"),
    "truncated": (lambda entry: os.truncate(entry.folder / "text.txt", 2), "text.txt has changed"),
    "missing file": (lambda entry: (entry.folder / "text.txt").unlink(), "text.txt is missing"),
    "foreign file": (lambda entry: (entry.folder / "more" / "x").touch(), "foreign file more/x"),
    "missing manifest": (lambda entry: (entry.folder / "manifest.json").unlink(), "no manifest"),
    "garbage": (lambda entry: (entry.folder / "manifest.json").write_bytes(b"\xff{"), "unreadable manifest"),
    "cut manifest": (lambda entry: os.truncate(entry.folder / "manifest.json", 40), "unreadable manifest"),
    "list": (lambda entry: (entry.folder / "manifest.json").write_text("[1]"), "unreadable manifest"),
    "no keys": (lambda entry: (entry.folder / "manifest.json").write_text("{}"), "unreadable manifest"),
    "another's manifest": (_another_entrys, "the manifest is another entry's"),
    "changed meta": (_changed_meta, "the manifest has changed"),
    "a file in its place": (_a_file, "unreadable manifest"),
}
