"""Where the bundled tasks and baselines lie.

In a wheel they are inside the package; in a checkout (and so in an editable install) they stand beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _bundled(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def tasks() -> Path:
    """Folder of the bundled task files, presets in `presets/` below it."""
    return _bundled("tasks")


def fixed_texts() -> Path:
    """Folder of the fixed texts."""
    return tasks() / "fixed_texts"


def evaluate_module() -> str:
    """Path of the metrics as a local module of the library evaluate: `evaluate.load(natfp_bench.evaluate_module())`."""
    return str(_PACKAGE / "results" / "evaluate_metrics.py")


def baselines() -> Path:
    """Folder of the bundled baselines, one folder each."""
    return _bundled("baselines")
