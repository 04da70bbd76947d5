"""Results of tasks on descent that were made by hand: real settings, and distances that are planted."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_results import UNSEEN, bare_result, plain, scored, studied, variant

from natfp_bench.pipeline.result import CrossedSide, MeanKL, Result, RunInfo
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.statistics.ceiling import Divergence
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.replication import PermutationTest


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


def permuted_at(p: float, smallest: float = 0.001, spread: float = 0.02) -> Permuted:
    """A permutation test with this p."""
    test = PermutationTest(p=p, smallest=smallest, permutations=999, exhaustive=False, testable=smallest <= 0.05)
    return Permuted(test=test, observed=0.4, spread=spread)


def answered(task: str, p: float, accuracy: float = 0.6, matrix: np.ndarray | None = None, **more: Any) -> Result:
    """A result of a task on descent with scores on unseen replicates, and a test of the factor with this p."""
    replicates, smallest = more.pop("replicates", 5), more.pop("smallest", 0.001)
    result = descended(task, matrix, replicates=replicates, **more)
    levels = tuple(sorted(result.factor.levels))
    chance = 1 / len(levels)
    made = []
    for name in ("bayes", "likelihood_reference"):
        score = scored(name, UNSEEN, 0.5, parts=(accuracy,) * replicates)
        identified = (accuracy - chance) / (1 - chance)
        metrics = {**score.metrics, "accuracy": plain(accuracy, 0.05), "identifiability": plain(identified, 0.05)}
        by_variant = {of.name: accuracy for of in result.variants}
        made.append(
            score.model_copy(update={"classes": levels, "chance": chance, "metrics": metrics, "by_variant": by_variant})
        )
    side = CrossedSide(
        seed="replicate",
        held_out=("level",),
        values=replicates,
        accuracy=plain(0.5, 0.1),
        by_value=(0.5,) * len(levels),
        permuted=permuted_at(p, smallest),
        likelihood=plain(0.9, 0.05),
    )
    study = studied(permutation=permuted_at(p, smallest), transposed=side)
    return result.model_copy(update={"scores": tuple(made), "study": study})
