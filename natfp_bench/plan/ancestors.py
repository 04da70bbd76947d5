"""Tasks whose levels are ancestors, and strangers to them: models of the same making that descend from none of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from natfp_bench.base.records import flatten

from .descent import ForkSpec
from .plan import Plan, Variant
from .settings import SeedsSpec, Settings
from .task_files import Task

STRANGER = "stranger"
"""Level of strangers."""

STRANGER_SEED = 1_000_003
"""First number of the seeds of strangers. It is far from the seeds of tasks, so that tasks share their strangers."""

SEEDS = ("seeds.init", "seeds.data_order", "seeds.dropout", "finetune.seed", "teacher.run", "source.replicate")
"""Settings whose values are seeds, or stand for some."""


def levels_are_ancestors(task: Task) -> bool:
    """Whether the levels of a task are models that others descend from: bases of fine-tunings, or teachers."""
    fields = task.factor.fields
    tuned = any(path.startswith("finetune.") for path in task.nuisance)
    return fields == ("teacher.run",) or (tuned and all(path.startswith("seeds.") for path in fields))


def strangers(plan: Plan) -> tuple[Variant, ...]:
    """The strangers that a plan asks for, each of an ancestor of its own.

    They are made as the descendants of the plan are, with each replicate's documents and learning rate in turn, and
    with seeds that no model of the plan has, for the ancestor and for what was done to it.
    """
    alike = [of for of in plan.variants if of.level == plan.variants[0].level]
    numbers = untaken(of.settings for of in plan.variants)
    found = []
    for index in range(plan.analysis.strangers):
        settings = alike[index % len(alike)].settings
        ancestor, own = next(numbers), next(numbers)
        found.append(Variant(level=STRANGER, replicate=index, settings=_seeded(plan.task, settings, ancestor, own)))
    return tuple(found)


def untaken(settings: Iterable[Settings]) -> Iterator[int]:
    """Numbers for seeds of strangers, which some settings do not have."""
    shown = [dict(flatten(one.model_dump(mode="json"))) for one in settings]
    taken = {value for one in shown for path, value in one.items() if path in SEEDS}
    return (number for number in itertools.count(STRANGER_SEED) if number not in taken)


def _seeded(task: Task, settings: Settings, ancestor: int, own: int) -> Settings:
    """The same making, from another ancestor, with seeds of its own for what the ancestor does not decide."""
    factor = task.factor.fields
    seeds = {name: ancestor if f"seeds.{name}" in factor else own for name in type(settings.seeds).model_fields}
    changed: dict[str, Any] = {"seeds": settings.seeds.model_copy(update=seeds)}
    if "teacher.run" in factor:
        changed["teacher"] = settings.teacher.model_copy(update={"run": ancestor})
    if "finetune.seed" in task.nuisance:
        changed["finetune"] = settings.finetune.model_copy(update={"seed": own})
    return settings.model_copy(update=changed)


def with_seed(settings: Settings, seed: int, init: int | None = None) -> Settings:
    """The same recipe with one other seed for everything that has one; a copy of a run is the run itself.

    init: the seed of the initial weights, None if it is the other one, too.
    """
    seeds = SeedsSpec(init=seed if init is None else init, data_order=seed, dropout=seed)
    own: dict[str, Any] = {"seeds": seeds, "fork": ForkSpec(), "rerun": 0}
    if settings.finetune.share:
        own["finetune"] = settings.finetune.model_copy(update={"seed": seed})
    if settings.teacher.run >= 0:
        own["teacher"] = settings.teacher.model_copy(update={"run": seed + 1})
    return settings.model_copy(update=own)
