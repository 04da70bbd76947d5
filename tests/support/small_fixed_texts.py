"""Fixed texts of the smallest models, made from runs that tests share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fixed_texts
import pytest

from natfp_bench.pipeline import bundled_texts
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.run import Run
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.store import Store

TASKS = ("lr_id", "seed_id")


@contextmanager
def small() -> Iterator[None]:
    """Let fixed texts be those of the smallest models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled_texts, "PRESET", "smoke")
        patch.setattr(bundled_texts, "TEXTS", 60)
        yield


def run_of(bench: Any, task: str, store: Path | None = None) -> Run:
    """The run that makes the texts of a task."""
    with small():
        plan = fixed_texts.source_plan(task)
    return Run(plan, (), Schedule(Store(store or bench.store), bench.engine, "cpu", lambda _: None))


def write(bench: Any, folder: Path, tasks: Sequence[str] = TASKS) -> None:
    """Make the fixed texts of tasks and write them into a folder."""

    def gather(store: Path) -> list[Evidence]:
        return [fixed_texts.gather(run_of(bench, task, store)) for task in tasks]

    bench.share("-".join(["fixed", *tasks]), lambda place: gather(place / "store"))
    gathered = gather(bench.store)
    with small():
        fixed_texts.write(folder, gathered, command=["make"], environment={"cores": 2})
