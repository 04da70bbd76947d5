"""What the command line and the Python face do, as functions with plain arguments that show nothing.

find_tasks                                   names of tasks, from names and tags
plan_task, plan_fixed_texts, plan_texts      a plan: which variants, texts and settings a run would have
plan_sweep                                   plans of one task at many values of some settings
plan_trace                                   a plan whose models a user names
plan_curve                                   a plan with several numbers of training texts
overview, dry_run, dry_run_sweep, dry_run_curve   what a plan amounts to, without running it
run_plans                                    run plans one after another; each result is written to a folder
run_curve                                    run a curve; its result is written to a folder
trace                                        run the models of such a plan, and find out which wrote given texts
load_task                                    read a task file
open_engine, local_engine                    where jobs run

What `import natfp_bench` offers, with progress and for notebooks, is in the room `python`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attributors import registry
from .attributors import sandbox as sandboxes
from .base.errors import UserError, unknown
from .corpus.open_corpus import open_corpus
from .pipeline.engine import Engine, Watch
from .pipeline.result import Result
from .pipeline.store import Store, default_root
from .plan import curve as curves
from .plan.curve import CurvePlan
from .plan.make_plan import make_plan
from .plan.plan import Plan
from .plan.sweep import sweep_plans
from .plan.task_files import Task, find, task_files, trained_tasks
from .plan.task_files import load_task as load_task_file
from .plan.text_settings import TextsSpec

if TYPE_CHECKING:
    from .attributors.registry import Baseline
    from .pipeline.curve import CurveOverview
    from .pipeline.curve_result import CurveResult
    from .pipeline.overview import Overview, SweepOverview
    from .results.trace import Trace
    from .results.unlabelled_texts import GivenText

ENGINES = ("local", "ray")
"""Where jobs can run."""

DEVICES = ("auto", "cpu", "cuda")
"""What models can run on."""


def load_task(name: str, *, include: Sequence[Path] = ()) -> Task:
    """Load a task by name; raises UserError for an unknown name and SpecError for a faulty file."""
    return load_task_file(find("task", name, task_files(include)))[0]


def find_tasks(
    names: Sequence[str] = (),
    *,
    tags: Sequence[str] = (),
    include: Sequence[Path] = (),
    fixed_texts: bool = False,
) -> tuple[list[str], list[str]]:
    """Find the tasks that names and tags choose; returns (chosen, left out).

    names: `all` stands for every task whose models are trained here, large ones apart. tags: add all tasks with one of
    these tags. Tasks on models of the Hub are left out, because they need the network, unless a name or the tag `hub`
    asks for them; so are tasks that need a model or text files of the user's, unless they are named.
    fixed_texts: `all` and a tag stand for those of their tasks that have fixed texts. Raises UserError for an unknown
    tag, and if nothing is chosen.
    """
    chosen, left_out = [*names], []
    # Who names tasks alone need not wait until all others are read.
    known = trained_tasks(include) if "all" in chosen or tags else {}
    trained = trained_tasks(include, large=True) if tags else {}
    if fixed_texts:
        from .base import resources
        from .pipeline.bundled_texts import read_manifest

        offered = read_manifest(resources.fixed_texts()).tasks
        known = {name: path for name, path in known.items() if name in offered}
    if "all" in chosen:
        chosen = [*known, *(name for name in chosen if name != "all")]
    tagged_as = {name: load_task_file(path)[0].tags for name, path in task_files(include).items()} if tags else {}
    for tag in tags:
        tagged = [name for name, has in tagged_as.items() if tag in has]
        if not tagged:
            raise unknown("tag", tag, {one for has in tagged_as.values() for one in has})
        wanting = [name for name in tagged if name not in trained and not ("hub" in tags and "hub" in tagged_as[name])]
        if wanting == tagged:
            what = f"tag {tag!r}: all its tasks need models of the Hub, or models or text of yours"
            raise UserError(f"{what}: {', '.join(wanting)}\n  add --task NAME, or --tag hub")
        left_out += wanting
        chosen += [name for name in tagged if name not in wanting and (name in known or not fixed_texts)]
    if not chosen:
        raise UserError("no task is named\n  natfp-bench run --task seed_id\n  natfp-bench list tasks   shows all")
    return list(dict.fromkeys(chosen)), [name for name in dict.fromkeys(left_out) if name not in chosen]


def plan_task(
    task: str,
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path] = (),
) -> Plan:
    """Plan to run a task at a preset.

    overrides: dotted path -> value as YAML text, as `--set` takes them (`{"optimizer.lr": "2e-3"}`). limit: use at most
    this many texts per variant, the first ones. replicates: instead of the preset's number. Raises UserError for an
    unknown task or preset and for a corpus that cannot be read, SpecError for faulty files and overrides.
    """
    plan = make_plan(task, preset, overrides=overrides, seed=seed, limit=limit, replicates=replicates, include=include)
    _check_corpora(plan)
    return plan


def _check_corpora(plan: Plan) -> None:
    try:
        for corpus in {
            variant.settings.corpus.model_dump_json(): variant.settings.corpus for variant in plan.variants
        }.values():
            open_corpus(corpus)
    except UserError as error:
        raise UserError(f"{error}\n  {plan.task.name} at preset {plan.preset} has it as its corpus.name") from None


def plan_sweep(
    task: str,
    over: Mapping[str, Sequence[str]],
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path] = (),
) -> list[Plan]:
    """Plan to run a task at every combination of some settings' values.

    over: setting (or settings joined by `+`, which change together) -> values as YAML texts; `x0.5` is half of the
    preset's value. The other arguments are those of `plan_task`, and so are the errors.
    """
    options: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates}
    plans = sweep_plans(task, preset, over, overrides=overrides, include=include, **options)
    for plan in plans:
        _check_corpora(plan)
    return plans


def plan_curve(
    task: str,
    texts: Sequence[int | str],
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    replicates: int | None = None,
    include: Sequence[Path] = (),
) -> CurvePlan:
    """Plan to let attributors learn from several numbers of training texts per model, in increasing order.

    The other arguments are those of `plan_task`, and so are the errors; UserError too for numbers that make no curve.
    """
    options: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates, "include": include}
    made = curves.plan_curve(task, preset, texts, overrides=overrides, **options)
    _check_corpora(made.plan)
    return made


def plan_fixed_texts(task: str, *, include: Sequence[Path] = ()) -> Plan:
    """Plan to score attributors on the bundled texts of a task; raises UserError if the task has none."""
    from .pipeline.bundled_texts import make_fixed_plan

    return make_fixed_plan(task, include=include)


def plan_texts(
    paths: Sequence[str],
    preset: str = "quick",
    *,
    text_column: str = "text",
    label_column: str = "label",
    group_column: str | None = None,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Plan:
    """Plan to attribute texts that exist already, from files, folders or LABEL=PATH, to their labels.

    group_column: the column whose groups are never split between train and test. overrides, limit: as of `plan_task`.
    Raises UserError if a file or column is wrong, or a label has too few texts.
    """
    from .corpus.plan_from_texts import plan_from_texts

    spec = TextsSpec(paths=tuple(paths), text=text_column, label=label_column, group=group_column)
    return plan_from_texts(spec, preset, overrides=overrides, seed=seed, limit=limit)


def plan_trace(
    models: Sequence[str],
    preset: str = "quick",
    *,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Plan:
    """Plan to sample texts from checkpoints that a user names, and to tell them apart; see `models_plan`."""
    from .plan.models_plan import models_plan

    plan = models_plan(models, preset, overrides=overrides, seed=seed, limit=limit)
    _check_corpora(plan)
    return plan


def overview(plan: Plan, *, store: Path | str | None = None, baselines: Sequence[Baseline] = ()) -> Overview:
    """Describe a plan: its variants, its sizes, and what the store already has. Nothing is written.

    baselines: attributors of the run, some of which may take more than the texts of the plan.
    """
    from .pipeline.overview import overview

    return overview(plan, _root(store), baselines=baselines)


def dry_run_sweep(plans: Sequence[Plan], *, store: Path | str | None = None, **how: Any) -> SweepOverview:
    """Check the arguments as `run_plans` does, and describe the plans of a sweep, one by one and together."""
    from .pipeline.overview import sweep_overview

    dry_run([], store=store, **how)
    return sweep_overview(plans, _root(store))


def dry_run_curve(
    curve: CurvePlan, *, baselines: str | None = None, store: Path | str | None = None, **how: Any
) -> CurveOverview:
    """Check the arguments as `run_curve` does before it starts, and describe the curve. Nothing is written."""
    from .pipeline.curve import curve_overview

    dry_run([], store=store, **how)
    return curve_overview(curve, _attributors(curve, baselines), _root(store))


def dry_run(
    plans: Sequence[Plan],
    *,
    baselines: str = "fast",
    store: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    sandbox: str = "auto",
) -> list[Overview]:
    """Check the arguments as `run_plans` does before it starts, and describe each plan. Nothing is written."""
    _check_device(device, ray_address)
    sandboxes.check_mode(sandbox)
    found = registry.find(baselines)
    open_engine(engine, workers, ray_address).close()
    return [overview(plan, store=store, baselines=found) for plan in plans]


def run_plans(
    plans: Sequence[Plan],
    *,
    baselines: str = "fast",
    store: Path | str | None = None,
    output: Path | str = "results",
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    sandbox: str = "auto",
    parity: Sequence[str] | None = None,
    command: Sequence[str] = (),
    watch: Watch = lambda _: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Generator[tuple[Result, Path], None, None]:
    """Run plans one after another; yields each result and the folder that it was written to.

    baselines: names and folders separated by commas, `fast` or `all`. parity: also score the models by lm-eval, on
    held-out documents and on these tasks of lm-eval. command: recorded in the results. watch: called with each
    `engine.Event`. warn: called if a store entry turns out to be damaged. The other arguments are those of
    `natfp_bench.run`.
    Raises UserError for wrong input (before the first plan runs, if it can be known then), JobError for a failed job.
    """
    from .pipeline.run import run_plan

    _check_device(device, ray_address)
    sandboxes.check_mode(sandbox)
    chosen = registry.find(baselines)
    # Neither engine starts a process before its first job.
    opened_engine = open_engine(engine, workers, ray_address)
    opened = Store(_root(store), warn)

    def each() -> Generator[tuple[Result, Path], None, None]:
        try:
            for plan in plans:
                yield run_plan(
                    plan,
                    chosen,
                    store=opened,
                    engine=opened_engine,
                    output=Path(output),
                    device=device,
                    command=command,
                    parity=parity,
                    sandbox=sandbox,
                    watch=watch,
                )
        finally:
            opened_engine.close()

    return each()


def run_curve(
    curve: CurvePlan,
    *,
    baselines: str | None = None,
    store: Path | str | None = None,
    output: Path | str = "results",
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    sandbox: str = "auto",
    command: Sequence[str] = (),
    watch: Watch = lambda _: None,
    warn: Callable[[str], None] = warnings.warn,
) -> tuple[CurveResult, Path]:
    """Run a curve; returns its result and the folder that it was written to.

    baselines: names and folders separated by commas; None is the reference attributor of the preset. The other
    arguments are those of `run_plans`, and so are the errors.
    """
    from .pipeline import curve as curve_runs

    _check_device(device, ray_address)
    sandboxes.check_mode(sandbox)
    chosen = _attributors(curve, baselines)
    opened = open_engine(engine, workers, ray_address)
    try:
        return curve_runs.run_curve(
            curve,
            chosen,
            store=Store(_root(store), warn),
            engine=opened,
            output=Path(output),
            device=device,
            command=command,
            sandbox=sandbox,
            watch=watch,
        )
    finally:
        opened.close()


def trace(
    plan: Plan,
    given: Sequence[GivenText],
    *,
    baselines: str = "fast",
    store: Path | str | None = None,
    output: Path | str = "results",
    device: str = "auto",
    workers: int | None = None,
    command: Sequence[str] = (),
    watch: Watch = lambda _: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Trace:
    """Find out which model of a plan (`plan_trace`) wrote given texts, or none; the arguments are those of `run_plans`.

    Raises UserError for models that cannot be had or compared, JobError for a failed job.
    """
    from .results import trace as traces

    _check_device(device, None)
    chosen, opened = registry.find(baselines), local_engine(workers)
    where: dict[str, Any] = {"store": Store(_root(store), warn), "engine": opened, "output": Path(output)}
    try:
        return traces.trace(plan, chosen, given, **where, device=device, command=command, watch=watch)
    finally:
        opened.close()


def _attributors(curve: CurvePlan, baselines: str | None) -> list[Baseline]:
    """The baselines of a curve; raises UserError for an unknown one."""
    return registry.find(baselines or curve.plan.analysis.reference)


def local_engine(workers: int | None) -> Engine:
    """A pool of worker processes, by default one per core; raises UserError for a number below one."""
    from .pipeline.local_engine import LocalEngine

    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: a run needs 1 worker or more")
    return LocalEngine(workers or _cores())


def open_engine(name: str, workers: int | None, ray_address: str | None) -> Engine:
    """The engine `local` or `ray`.

    Raises UserError for another name, for options that cannot be combined, and if Ray is not installed.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if name == "local" and ray_address is not None:
        raise UserError(f"--ray-address {ray_address} needs --engine ray")
    if ray_address is not None and workers is not None:
        raise UserError("--workers cannot be combined with --ray-address: a running cluster has its own workers")
    local = local_engine(workers)
    if name == "local":
        return local
    try:
        from .pipeline.ray_engine import RayEngine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("--engine ray: Ray is not installed\n  pip install 'natfp-bench[ray]'") from None
    return RayEngine(workers or _cores(), ray_address)


def _check_device(name: str, ray_address: str | None) -> None:
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and ray_address is None:  # the nodes of a cluster may have what this machine lacks
        from .models.model import pick_device

        pick_device(name)


def _root(store: Path | str | None) -> Path:
    return Path(store) if store else default_root()


def _cores() -> int:
    """Cores that this process may use. One-thread jobs side by side beat threads, so each core gets a worker."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
