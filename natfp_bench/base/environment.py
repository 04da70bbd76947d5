"""Machine and versions of a run: the last digits of floats depend on them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("natfp_bench", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")
"""Packages whose versions the last digits of a result may depend on."""


def versions() -> dict[str, str]:
    """Versions of the packages that floats depend on."""
    return {name: _version(name) for name in PACKAGES}


def environment() -> dict[str, str | int]:
    """Describe the machine and the versions that floats depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        **versions(),
        **({"commit": made_at} if (made_at := commit()) else {}),
    }


def commit() -> str:
    """Commit of the checkout that this package runs from, as its .git says; empty if there is no checkout."""
    git = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        packed = (line.split() for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines())
        return next((words[0] for words in packed if words[1:] == [name]), "")
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
