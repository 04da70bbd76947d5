"""All stages of the package, found in the modules of `stages` and `sources`."""

from __future__ import annotations

import importlib
import pkgutil

import natfp_bench.pipeline.bundled_texts  # noqa: F401  it has stages, too
from natfp_bench.pipeline import sources, stages
from natfp_bench.pipeline.stages.stage import Stage


def all_stages() -> list[type[Stage]]:
    """Stages that leave entries (those that no other stage is built on), by class name."""
    for package in (stages, sources):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    found, waiting = list[type[Stage]](), Stage.__subclasses__()
    while waiting:
        kind = waiting.pop()
        built_on = [other for other in kind.__subclasses__() if other.__module__.startswith("natfp_bench")]
        waiting += built_on
        if not built_on and kind.__module__.startswith("natfp_bench"):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)
