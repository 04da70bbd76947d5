"""Phases of a line, on planted ones."""

from __future__ import annotations

import numpy as np
from test_power_law import planted

from natfp_bench.statistics.paired import holm
from natfp_bench.statistics.phases import Phase, phases_of, steps_of
from natfp_bench.statistics.power_law import Law, Points

X = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def around(heights: list[float], spread: float, seed: int = 0, models: int = 5) -> Points:
    """Points around some heights; each model has an error of its own at each of them."""
    own = np.array(heights) + spread * np.random.default_rng(seed).standard_normal((models, len(heights)))
    left_out = [(X, np.delete(own, one, axis=0).mean(axis=0)) for one in range(models)]
    return Points(X, own.mean(axis=0), left_out, "models")


def phases(points: Points) -> tuple[Phase, ...]:
    """Of one line alone."""
    steps = steps_of(points)
    return phases_of(steps, holm([step.p for step in steps]))


def test_a_rise_and_a_fall_are_two_phases() -> None:
    up, down = phases(around([1.0, 2.0, 4.0, 3.0, 1.5], 0.01))
    assert (up.direction, up.start, up.end) == ("rises", 1.0, 4.0)
    assert (down.direction, down.start, down.end) == ("falls", 4.0, 16.0)
    assert up.last == down.first
    assert max(up.p, down.p) <= 0.05


def test_a_step_that_is_not_shown_ends_a_phase() -> None:
    first, second = phases(around([1.0, 2.0, 2.0, 3.0, 4.0], 0.01, seed=1))
    assert (first.end, second.start) == (2.0, 4.0)


def test_a_line_without_units_has_no_phases() -> None:
    assert phases(Points(X, X, [], "models")) == ()


def test_flat_lines_seldom_have_a_phase() -> None:
    """With 5 units and no change, at most about one line in twenty has any step that is shown."""
    flat = Law(1.0, 0.0, -1.0)
    found = [phases(planted(flat, 5, 0.1, np.random.default_rng(seed), X)) for seed in range(400)]
    assert sum(bool(one) for one in found) <= 32
