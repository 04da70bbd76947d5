"""Means over tasks as if models were drawn anew: by hand, by simulation, and where tasks share their models."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from natfp_bench.results.over_models import TaskAccuracy, mean_over_models, ranks_over_models


def task(accuracy: list[float], models: list[str], chance: float = 0.0, levels: str = "") -> TaskAccuracy:
    """One task; all variants are runs of one level unless a test says otherwise."""
    return TaskAccuracy(chance, accuracy, models, list(levels) or ["one"] * len(accuracy))


def test_one_task_has_the_interval_of_its_models() -> None:
    accuracy = [0.3, 0.5, 0.4, 0.8]
    found = mean_over_models([task(accuracy, list("abcd"))])
    expected = scipy.stats.ttest_1samp(accuracy, 0.0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, expected.low, expected.high))
    assert (found.method, found.units, found.n_units) == ("t", "models", 4)


def test_tasks_that_share_their_models_are_not_independent() -> None:
    """Twice the same task says no more than once; twice the same figures of other models do."""
    accuracy = [0.3, 0.5, 0.4, 0.8]
    once = mean_over_models([task(accuracy, list("abcd"))])
    same = mean_over_models([task(accuracy, list("abcd"))] * 2)
    other = mean_over_models([task(accuracy, list("abcd")), task(accuracy, list("efgh"))])
    assert (same.low, same.high) == pytest.approx((once.low, once.high))
    assert other.value == pytest.approx(0.5)
    assert other.high - other.low < 0.7 * (once.high - once.low)


def test_differences_between_levels_are_no_chance() -> None:
    """Levels that differ much, with runs that differ little: the error is that of the runs, by hand."""
    accuracy = [0.30, 0.32, 0.90, 0.94]
    found = mean_over_models([task(accuracy, list("abcd"), levels="xxyy")])
    deviation = np.array([0.01, 0.01, 0.02, 0.02]) * math.sqrt(2) / 4
    half = scipy.stats.t.ppf(0.975, 3) * math.sqrt((deviation**2).sum())
    assert (found.value, found.high - found.value) == pytest.approx((0.615, half))
    single = mean_over_models([task(accuracy, list("abcd"), levels="wxyz")])
    assert single.high - single.value > 5 * half, "a level with one run shows no spread of runs"


def test_identifiability_is_what_is_averaged() -> None:
    found = mean_over_models([task([0.25, 1.0], ["a", "b"], 0.25), task([0.5, 0.5], ["c", "d"], 0.5)])
    assert found.value == pytest.approx((0.5 + 0.0) / 2)
    assert mean_over_models([task([0.5, 0.6], ["a", "b"])]).low is None


def test_the_interval_covers_where_tasks_share_models() -> None:
    """Each model's accident is part of all three tasks that it takes part in; a mean over tasks keeps it."""
    rng, covered = np.random.default_rng(0), 0
    names = [str(i) for i in range(12)]
    for _ in range(1000):
        accident, own = rng.normal(0, 0.1, size=12), rng.normal(0, 0.03, size=(3, 12))
        found = mean_over_models([task((0.5 + accident + row).tolist(), names) for row in own])
        covered += found.low <= 0.5 <= found.high
    assert abs(covered - 950) < 4 * math.sqrt(1000 * 0.95 * 0.05)


def test_ranks_hold_where_tasks_share_models() -> None:
    """Two equal attributors that differ on each model, in all of ten tasks alike: sign flips of tasks would err."""
    rng, names, wrong = np.random.default_rng(1), [str(i) for i in range(8)], 0
    for _ in range(200):
        lean = rng.normal(0, 0.1, size=8)
        given = {
            name: [task((0.5 + sign * lean).tolist(), names) for _ in range(10)] for name, sign in (("x", 1), ("y", -1))
        }
        ranks = ranks_over_models(given)
        wrong += ranks["x"] != ranks["y"]
    assert wrong <= scipy.stats.binom.isf(1e-3, 200, 0.05)


def test_a_clear_difference_is_a_rank() -> None:
    names = [str(i) for i in range(8)]
    given = {name: [task([at + 0.01 * i for i in range(8)], names)] for name, at in (("x", 0.5), ("y", 0.4))}
    assert ranks_over_models(given) == {"x": 1, "y": 2}
    assert ranks_over_models({}) == {}
