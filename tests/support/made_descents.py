"""Results of tasks on descent that were made by hand: real settings, and distances that are planted."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_results import bare_result, variant

from natfp_bench.pipeline.result import MeanKL, Result, RunInfo
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.statistics.ceiling import Divergence


def divergences(matrix: np.ndarray, error: float | None = 0.01) -> tuple[tuple[Divergence, ...], ...]:
    """Records of a matrix; NaN is an infinite divergence."""
    return tuple(
        tuple(
            Divergence(value=None, standard_error=None, impossible=0.5)
            if np.isnan(value)
            else Divergence(value=float(value), standard_error=error, impossible=0.0)
            for value in row
        )
        for row in matrix
    )


def descended(task: str, matrix: np.ndarray | None = None, *, replicates: int = 2, **changes: Any) -> Result:
    """A result of a task at the preset `smoke`; unless a matrix says otherwise, relatives by level are near."""
    plan = make_plan(task, "smoke", replicates=replicates)
    made = [
        variant(of.name, f"{task} {of.name}").model_copy(update={"settings": of.settings.model_dump(mode="json")})
        for of in plan.variants
    ]
    if matrix is None:
        level = np.array([of.level for of in plan.variants])
        matrix = np.where(level[:, None] == level, 0.1, 1.0) * (1 - np.eye(len(level)))
    kl = MeanKL(unit="token", variants=tuple(of.name for of in plan.variants), divergence=divergences(matrix))
    levels = [*plan.task.factor.levels]
    number = changes.pop("number", 0)
    run = RunInfo(
        id=f"run{number}", started=f"2026-01-01T00:00:{number:02}+00:00", command=(), seconds={"total": 1.0}, work={},
        attributors={}, environment={},
    )  # fmt: skip
    own: dict[str, Any] = {
        "protocol_digest": f"protocol of {task}",
        "preset": "smoke",
        "task__name": task,
        "task__version": plan.task.version,
        "task__tags": plan.task.tags,
        "factor__name": plan.task.factor.name,
        "factor__fields": plan.task.factor.fields,
        "variants": tuple(made),
        "mean_kl": kl,
    }
    return bare_result(changes.pop("scores", ()), levels, run, **{**own, **changes})
