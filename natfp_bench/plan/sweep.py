"""A sweep: one task at every combination of some settings' values, as ordinary plans.

Where the schedule allows it, a sweep over `budget.tokens` trains only its longest run: a constant learning rate does
not know when it ends, so shorter runs are stops of the longest one (`budget.stop`). With a warm-up, a stable phase and
a decay, each stop has a short decay of its own (`schedule.decay_at_stop`). Other schedules are runs of their own.

At a stop, all data orders must have read the same blocks, or models would differ in their data, too: blocks are
shuffled between the stops of a sweep alone (`budget.segments`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.base.records import canonical_json, flatten

from .make_plan import RELATIVE, make_plan
from .plan import Plan, run_of
from .task_files import Preset, find, leaves, load_task, near, task_files

MAX_PLANS = 500
"""Most combinations of a sweep. Each is a run of its own, with several models."""

TOKENS, STOP, SCHEDULE = "budget.tokens", "budget.stop", "schedule.name"
SEGMENTS = "budget.segments"

SAVING = {"constant": {}, "warmup_stable_decay": {"schedule.decay_at_stop": "true"}}
"""Schedules whose shorter runs are stops of the longest one, and what is set for that."""

Cell = dict[str, str]
"""Values of the swept settings in one plan, as YAML texts."""


def sweep_plans(
    task: str | Path,
    preset: str,
    over: Mapping[str, Sequence[str]],
    *,
    overrides: Mapping[str, str] | None = None,
    include: Sequence[Path] = (),
    **options: Any,
) -> list[Plan]:
    """Plan a task at every combination of values; a plan that others continue comes before them.

    over: setting, or several settings joined by `+` that change together -> values as YAML texts; `x0.5` is half of
    the preset's value. The other arguments are those of `make_plan`. Raises UserError for a sweep that cannot be one,
    and SpecError with every fault of its plans.
    """
    given = dict(overrides or {})
    path = task if isinstance(task, Path) else find("task", task, task_files(include))
    _check(path, over, given)
    # Values are relative to what the preset has with the other options.
    base = make_plan(task, preset, overrides=given, include=include, **options)
    columns = [_values(base, joined, values) for joined, values in over.items()]
    cells = [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*columns)]
    cells = _in_segments(_stops_of_longest(cells, base), base, given)
    plans, faults = [], list[str]()
    for cell in cells:
        try:
            plans.append(make_plan(task, preset, overrides={**given, **cell}, include=include, **options))
        except SpecError as error:
            faults += [_shown(fault, cell) for fault in error.faults]
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return _joined(plans)


def _check(path: Path, over: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> None:
    """Refuse a sweep that cannot be one, with every reason."""
    task = load_task(path)[0]
    known = [one.removeprefix("settings.") for one in leaves(Preset) if one not in ("summary", "notes")]
    if not over:
        raise UserError("nothing to sweep over\n  for example --over budget.tokens=x0.5,x1,x2")
    faults = []
    paths = [one for joined in over for one in joined.split("+")]
    for joined, values in over.items():
        shown = f"--over {joined}={','.join(values)}"
        for one in joined.split("+"):
            if one in task.factor.fields:
                faults.append(f"{shown}: {task.name} varies {one!r} itself; sweep over something else")
            elif one not in known:
                faults.append(f"{shown}: unknown setting {one!r}{near(one, known)}")
            elif one in given:
                faults.append(f"{shown}: --set gives {one!r} one value; leave one of them out")
            elif paths.count(one) > 1:
                faults.append(f"{shown}: {one!r} is swept over twice")
        if len(values) < 2:
            faults.append(f"{shown}: a sweep needs two values or more; --set gives one value")
    if (number := math.prod(map(len, over.values()))) > MAX_PLANS:
        faults.append(f"{number:,} combinations are too many, {MAX_PLANS:,} are allowed")
    if faults:
        raise SpecError(faults)


def _values(base: Plan, joined: str, values: Sequence[str]) -> list[Cell]:
    """The values of settings that change together, those that are relative as numbers; raises SpecError."""
    found, faults = [], []
    for value in values:
        cell = {}
        for path in joined.split("+"):
            relative = RELATIVE.fullmatch(value)
            was = _value(base, path)
            if not relative:
                cell[path] = value
            elif isinstance(was, bool) or not isinstance(was, int | float):
                faults.append(f"--over {path}={value}: relative, but the preset's {was!r} is not a number")
            else:
                product = was * float(relative[1])
                cell[path] = canonical_json(round(product) if isinstance(was, int) else product)
        if cell in found:
            faults.append(f"--over {joined}: {value} is the same as another of its values")
        found.append(cell)
    if faults:
        raise SpecError(faults)
    return found


def _value(plan: Plan, path: str) -> Any:
    """The value of a setting in a plan, before its factor varies it."""
    where = {
        **dict(flatten(plan.variants[0].settings.model_dump(mode="json"))),
        **{f"analysis.{name}": value for name, value in plan.analysis.model_dump(mode="json").items()},
        **{f"split.{name}": value for name, value in plan.split.model_dump(mode="json").items()},
        "replicates": plan.replicates,
    }
    return where.get(path)


def _stops_of_longest(cells: Sequence[Cell], base: Plan) -> list[Cell]:
    """Turn budgets into stops of the longest one, where the schedule allows it."""
    settings = base.variants[0].settings
    varied = any(path.startswith(("budget.", "schedule.")) for path in base.task.factor.fields)
    # Stops are the same data for every seed only between segments that the sweep chooses.
    if (
        varied
        or settings.budget.segments
        or settings.budget.stop < 1
        or settings.finetune.share
        or settings.fork.at
        or STOP in cells[0]
    ):
        return [*cells]
    try:
        longest = max(int(cell[TOKENS]) for cell in cells)
    except (KeyError, ValueError):
        return [*cells]  # no budgets are swept over, or a value is none: its plan says so
    found = []
    for cell in cells:
        name = cell.get(SCHEDULE, settings.schedule.name)
        if name in SAVING and (share := int(cell[TOKENS]) / longest) > 0:
            cell = {**cell, TOKENS: str(longest), STOP: canonical_json(share), **SAVING[name]}
        found.append(cell)
    return found


def _in_segments(cells: Sequence[Cell], base: Plan, given: Mapping[str, str]) -> list[Cell]:
    """Shuffle blocks between the stops of a sweep alone, so that whatever the seed, the same ones were read there."""
    factor = base.task.factor.fields
    if (
        SEGMENTS in given
        or any(SEGMENTS in cell for cell in cells)
        or any(path.startswith("budget.") for path in factor)
    ):
        return [*cells]
    try:
        stops = sorted({float(cell[STOP]) for cell in cells if STOP in cell} - {1.0})
    except ValueError:
        return [*cells]  # a stop that is no number: its plan says so
    ends = canonical_json(",".join(map(repr, stops)))
    return [{**cell, SEGMENTS: ends} if STOP in cell and stops else cell for cell in cells]


def _shown(fault: str, cell: Mapping[str, str]) -> str:
    """Name the option that was given: plans only know of --set."""
    for path, value in cell.items():
        fault = fault.replace(f"--set {path}={value}", f"--over {path}={value}")
    return fault


def _joined(plans: Sequence[Plan]) -> list[Plan]:
    """Let longer trainings of a sweep know of shorter ones that they continue, and put these first."""
    stops: dict[str, set[float]] = {}
    for plan in plans:
        for variant in plan.variants:
            recipe, corpus = variant.settings.recipe, variant.settings.corpus
            shared = recipe.trunk or recipe
            stops.setdefault(run_of(shared, corpus), set()).add(shared.budget.stop)
    known = {run: tuple(sorted(found)) for run, found in stops.items() if len(found) > 1}
    ordered = sorted(plans, key=lambda plan: plan.variants[0].settings.fork.at or plan.variants[0].settings.budget.stop)
    return [plan.model_copy(update={"stops": known}) for plan in ordered]
