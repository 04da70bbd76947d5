"""natfp_bench: the benchmark of natural fingerprints of language models.

Importing this package is cheap: the public names load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import load_task
    from .attributors.attribute import Attributor
    from .base.errors import UserError
    from .base.resources import evaluate_module
    from .python.ask import distances, identify, leaderboard, load_results, report, trends
    from .python.finished import Result, Results
    from .python.run import curve, run, run_texts, sweep
    from .python.trace import trace
    from .statistics import ceiling, metrics

_HOME = {
    "run": ".python.run",
    "run_texts": ".python.run",
    "sweep": ".python.run",
    "curve": ".python.run",
    "trends": ".python.ask",
    "distances": ".python.ask",
    "identify": ".python.ask",
    "trace": ".python.trace",
    "leaderboard": ".python.ask",
    "load_results": ".python.ask",
    "load_task": ".api",
    "Result": ".python.finished",
    "Results": ".python.finished",
    "Attributor": ".attributors.attribute",
    "UserError": ".base.errors",
    "evaluate_module": ".base.resources",
}
# `report` is a room, too: its module can be called.
_MODULES = {"ceiling": ".statistics.ceiling", "metrics": ".statistics.metrics", "report": ".report"}
__all__ = [
    "Attributor",
    "Result",
    "Results",
    "UserError",
    "__version__",
    "ceiling",
    "curve",
    "distances",
    "evaluate_module",
    "identify",
    "leaderboard",
    "load_results",
    "load_task",
    "metrics",
    "report",
    "run",
    "run_texts",
    "sweep",
    "trace",
    "trends",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(_MODULES[name], __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
