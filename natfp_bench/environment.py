"""Where a run took place: machine and versions, on which the last digits of floats depend."""

from __future__ import annotations

import importlib.metadata
import os
import platform


def environment() -> dict[str, str | int]:
    """Describe the machine and the versions that floats depend on."""
    packages = ("natfp_bench", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
