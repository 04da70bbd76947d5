"""natfp_bench: the benchmark of natural fingerprints of language models.

Importing this package is cheap: the public names load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import load_results, load_task, run
    from .attributors.attribute import Attributor
    from .base.resources import evaluate_module
    from .statistics import ceiling, metrics

_HOME = {
    "run": ".api",
    "load_task": ".api",
    "load_results": ".api",
    "Attributor": ".attributors.attribute",
    "evaluate_module": ".base.resources",
}
_MODULES = ("ceiling", "metrics")
__all__ = ["Attributor", "__version__", "ceiling", "evaluate_module", "load_results", "load_task", "metrics", "run"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".statistics.{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
