"""Where the bundled tasks and baselines are.

In a wheel they are inside the package. In a checkout, and so in an editable install, they are beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _bundled(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def tasks() -> Path:
    """Folder of the bundled task files; the presets are in its `presets/`."""
    return _bundled("tasks")


def fixed_texts() -> Path:
    """Folder of the fixed texts."""
    return tasks() / "fixed_texts"


def evaluate_module() -> str:
    """Path of the metrics as a local module of the library evaluate: `evaluate.load(natfp_bench.evaluate_module())`."""
    return str(_PACKAGE / "results" / "evaluate_metrics.py")


def baselines() -> Path:
    """Folder of the bundled baselines; each has a folder of its own."""
    return _bundled("baselines")
