"""Means of attributors over tasks, and their ranks, as if the models had been drawn anew.

Tasks are not independent: most of them share the models of the default recipe. What an attributor's figure would be
elsewhere depends on the models that wrote the texts, so they are the units here: whatever a model adds to the mean, in
all tasks where it takes part, stands or falls together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from natfp_bench.statistics import paired, per_text, replication
from natfp_bench.statistics.intervals import FEWEST_UNITS, Floats, Interval, Ints, student_quantile


@dataclass(frozen=True)
class TaskAccuracy:
    """An attributor's accuracy on the texts of each variant of one task, with its model and its level: (variants,)."""

    chance: float
    accuracy: Sequence[float]
    models: Sequence[str]
    levels: Sequence[str]


def mean_over_models(tasks: Sequence[TaskAccuracy]) -> Interval:
    """Mean identifiability over tasks, with a 95% interval over models.

    The error is that of a mean of clusters (Liang and Zeger 1986): the sum, over a model's variants in all tasks, of
    how far each is from the mean of its task and level (of its task, if a level has one run), enlarged for the R runs
    that this mean is of by sqrt(R / (R - 1)). Levels are fixed: what differs between them is no chance. Student's t has
    one degree of freedom less than there are models.
    """
    added, model = _added(tasks)
    n_models = int(model.max()) + 1
    value = math.fsum(added)
    if n_models < FEWEST_UNITS:
        return Interval(value=value, low=None, high=None, method="none", units="models", n_units=n_models)
    start, residual = 0, np.empty_like(added)
    for task in tasks:
        mine = slice(start, start := start + len(task.accuracy))
        residual[mine] = _residual(added[mine], task.levels)
    error = math.sqrt(math.fsum(np.bincount(model, residual) ** 2))
    half = student_quantile(n_models - 1) * error
    return Interval(value=value, low=value - half, high=value + half, method="t", units="models", n_units=n_models)


def _residual(values: Floats, levels: Sequence[str]) -> Floats:
    """How far each value (variants,) is from the mean of its level, if a level has several, else of all."""
    _, group, runs = np.unique(levels, return_inverse=True, return_counts=True)
    if runs.min() == 1:
        group, runs = np.zeros(len(values), dtype=np.int64), np.array([len(values)])
    mean = np.bincount(group, values) / runs
    return np.asarray((values - mean[group]) * np.sqrt(runs / np.maximum(runs - 1, 1))[group])


def ranks_over_models(given: Mapping[str, Sequence[TaskAccuracy]]) -> dict[str, int]:
    """Rank attributors that did the same tasks: 1 + how many are significantly better on average over the tasks.

    The differences of each model change sign together (Holm over all pairs). Empty if there are too few models for any
    difference to be significant: equal ranks would then mean nothing.
    """
    added = {name: _added(tasks) for name, tasks in given.items()}
    if not added:
        return {}
    model = next(iter(added.values()))[1]
    if len(added) * (len(added) - 1) * 0.5 ** len(np.unique(model)) > replication.SIGNIFICANT:
        return {}
    return paired.ranks({name: values for name, (values, _) in added.items()}, model, seed=0)


def _added(tasks: Sequence[TaskAccuracy]) -> tuple[Floats, Ints]:
    """What each variant of each task adds to the mean identifiability, and the number of its model."""
    added = [
        per_text.identifiability(accuracy, task.chance) / len(task.accuracy) / len(tasks)
        for task in tasks
        for accuracy in task.accuracy
    ]
    _, model = np.unique([name for task in tasks for name in task.models], return_inverse=True)
    return np.array(added), model
