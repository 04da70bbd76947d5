"""The public Python API: what the command line does, as functions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .attributors import registry
from .base.errors import UserError, unknown
from .base.records import canonical_json
from .pipeline import result as results
from .pipeline.bundled_texts import PRESET, make_fixed_plan
from .pipeline.engine import Engine, Watch
from .pipeline.local_engine import LocalEngine
from .pipeline.result import Result
from .pipeline.run import run_plan
from .pipeline.store import Store, default_root
from .plan.plan import make_plan
from .plan.task_files import Task, find, task_files
from .plan.task_files import load_task as load_task_file

ENGINES = ("local", "ray")
"""Where jobs can run."""


def default_workers() -> int:
    """One worker a core that this process may use: one-thread jobs side by side beat threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_engine(workers: int | None) -> Engine:
    """A pool of worker processes; raises UserError for a number below one."""
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers} is no number of workers\n  take 1 or more")
    return LocalEngine(workers or default_workers())


def open_engine(name: str, workers: int | None, ray_address: str | None) -> Engine:
    """The engine `local` or `ray`; raises UserError for another name, for options that do not fit, and without Ray."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if name == "local" and ray_address is not None:
        raise UserError(f"--ray-address {ray_address} says where Ray runs, and the engine is local\n  add --engine ray")
    if ray_address is not None and workers is not None:
        raise UserError("--workers: a cluster that runs has the workers that it has\n  leave it out with --ray-address")
    local = local_engine(workers)
    if name == "local":
        return local
    try:
        from .pipeline.ray_engine import RayEngine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("--engine ray: Ray is not installed\n  pip install 'natfp-bench[ray]'") from None
    return RayEngine(workers or default_workers(), ray_address)


def load_task(name: str, *, include: Sequence[Path] = ()) -> Task:
    """Load a task by name; raises UserError for an unknown one and SpecError for a faulty file."""
    return load_task_file(find("task", name, task_files(include)))[0]


def load_results(*paths: Path | str) -> list[Result]:
    """Load results from files and folders; raises UserError for one that is missing, damaged or of another schema."""
    return [results.read(path) for path in results.find([Path(path) for path in paths])]


def run(
    task: str,
    *,
    preset: str = "quick",
    baselines: str = "fast",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    fixed_texts: bool = False,
    include: Sequence[Path] = (),
    store: Path | str | None = None,
    output: Path | str = "results",
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    watch: Watch = lambda _: None,
) -> Result:
    """Run one task and return its result, which is also written below `output`.

    settings: dotted path -> value, as `--set` takes them (`{"corpus.name": "text:notes.txt"}`). fixed_texts: train
    nothing, and score on the bundled texts. engine: `local`, or `ray` (`pip install 'natfp-bench[ray]'`), which starts
    Ray here until the run is done, or joins the cluster at `ray_address` (`auto`: the one of this machine). watch:
    called with each `engine.Event`; a damaged store entry that is found outside of a job is told as a Python warning.
    Raises UserError for wrong input, JobError for a job that failed.
    """
    overrides = {path: canonical_json(value) for path, value in (settings or {}).items()}
    if fixed_texts:
        if preset != PRESET or overrides or seed or limit:
            raise UserError("fixed texts are what they are: leave out preset, settings, seed and limit")
        plan = make_fixed_plan(task, include=include)
    else:
        plan = make_plan(task, preset, overrides=overrides, seed=seed, limit=limit, include=include)
    chosen = registry.find(baselines)
    opened = Store(Path(store) if store else default_root(), lambda text: warnings.warn(text, stacklevel=2))
    opened_engine = open_engine(engine, workers, ray_address)
    try:
        return run_plan(
            plan, chosen, store=opened, engine=opened_engine, output=Path(output), device=device, watch=watch
        )[0]
    finally:
        opened_engine.close()
