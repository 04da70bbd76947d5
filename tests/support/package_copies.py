"""Copies of the package that a test may change: its own folder, run in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from fresh_python import ROOT, python


class PackageCopy:
    """The package with its tasks and baselines, copied below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("natfp_bench", "tasks", "baselines"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a piece of one of the package's files, which must be there."""
        file = self.folder / "natfp_bench" / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} no longer holds {old!r}"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def add(self, path: str, text: str) -> None:
        """Add a file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def python(self, *arguments: object) -> str:
        """Run Python with the copy; returns what it printed."""
        return python(*arguments, folder=self.folder, root=self.folder)
