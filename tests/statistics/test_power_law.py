"""Power laws with a limit, against planted curves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from natfp_bench.statistics import intervals, power_law
from natfp_bench.statistics.power_law import Law, Points

TOKENS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]) * 1e5


@pytest.mark.parametrize("law", [Law(0.1, 400.0, -0.6), Law(0.0, 30.0, -0.3), Law(0.9, -20.0, -0.35)])
def test_a_planted_law_is_found(law: Law) -> None:
    found = power_law.fit(TOKENS, np.array([law.at(x) for x in TOKENS]), "settles")
    assert found.exponent == pytest.approx(law.exponent, rel=1e-3)
    assert found.limit == pytest.approx(law.limit, abs=1e-3)
    assert found.at(1e9) == pytest.approx(law.at(1e9), abs=1e-3)


def test_a_law_of_the_excess_has_its_limit_at_zero() -> None:
    excess = np.array([0.8, 0.5, 0.3, 0.2, 0.1])
    found = power_law.fit(excess, 0.05 + 2 * excess**1.5, "vanishes")
    assert (found.limit, found.exponent) == (pytest.approx(0.05, abs=1e-4), pytest.approx(1.5, abs=1e-3))


def test_too_few_points_have_no_law() -> None:
    with pytest.raises(ValueError, match="4 distinct x are needed"):
        power_law.fit(TOKENS[:3], TOKENS[:3], "settles")


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30])
@pytest.mark.parametrize("t", [0.0, 0.3, 2.0, -5.0])
def test_p_of_student_is_that_of_scipy(t: float, df: int) -> None:
    assert intervals.student_p(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), abs=1e-12)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    left_out = [float(np.delete(values, place).mean()) for place in range(4)]
    assert intervals.jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / 2)
    assert intervals.jackknife(3.75, left_out[:2], "models").low is None


def planted(law: Law, models: int, spread: float, draw: np.random.Generator, x: np.ndarray = TOKENS) -> Points:
    """Pairwise divergences around a law: each model is by itself further from or nearer to the others, at each x."""
    own = 1 + spread * draw.standard_normal((models, len(x)))
    pairs = [(a, b) for a, b in itertools.combinations(range(models), 2)]
    height = np.array([law.at(one) for one in x])
    y = {pair: height * (own[pair[0]] + own[pair[1]]) / 2 for pair in pairs}

    def mean(without: int | None) -> np.ndarray:
        return np.mean([value for pair, value in y.items() if without not in pair], axis=0)

    return Points(x, mean(None), [(x, mean(one)) for one in range(models)], "models")


@pytest.mark.parametrize(("models", "spread"), [(5, 0.05), (8, 0.1)])
def test_intervals_of_slope_limit_and_prediction_cover_what_was_planted(models: int, spread: float) -> None:
    law, draw = Law(0.2, 300.0, -0.55), np.random.default_rng(1)
    covered = {"slope": 0, "limit": 0, "sound": 0}
    truth = power_law.slope(TOKENS, np.array([law.at(x) for x in TOKENS]))
    for _ in range(120):
        points = planted(law, models, spread, draw)
        found, slope = power_law.law_of(points, "settles"), power_law.slope_of(points)[0]
        covered["slope"] += (slope.low or 0) <= truth <= (slope.high or 0)
        covered["limit"] += (found.limit.low or 0) <= law.limit <= (found.limit.high or 0)
        assert found.prediction
        covered["sound"] += found.prediction.sound
    assert covered["slope"] / 120 > 0.88
    assert covered["limit"] / 120 > 0.85
    assert covered["sound"] / 120 > 0.6


def test_a_law_that_bends_after_the_last_point_is_not_extrapolated() -> None:
    draw = np.random.default_rng(2)
    points = planted(Law(0.0, 300.0, -0.55), 5, 0.01, draw)
    bent = [(x, np.where(x == x.max(), 2 * y, y)) for x, y in [(points.x, points.y), *points.left_out]]
    found = power_law.law_of(Points(*bent[0], bent[1:], "models"), "settles")
    assert found.prediction is not None
    assert not found.prediction.sound
    assert found.further is None
    assert power_law.law_of(points, "settles").further is not None


def test_without_units_nothing_is_claimed() -> None:
    y = np.array([Law(0.2, 300.0, -0.55).at(x) for x in TOKENS])
    found = power_law.law_of(Points(TOKENS, y, [], "models"), "settles")
    assert (found.limit.low, found.p_limit, found.further) == (None, None, None)
    assert power_law.slope_of(Points(TOKENS, y, [], "models"))[1] is None
