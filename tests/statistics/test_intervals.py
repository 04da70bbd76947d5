"""The interval of a difference of two estimates that have intervals of their own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from natfp_bench.statistics.intervals import Interval, difference, t_interval


@pytest.mark.parametrize("spreads", [(1.0, 1.0), (1.0, 3.0), (0.1, 1.0)])
def test_it_covers_the_difference_and_is_little_wider_than_that_of_welch(spreads: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.normal(mean, spread, size=(1000, 5)) for mean, spread in zip((2.0, 1.0), spreads, strict=True))
    found = [difference(t_interval(one), t_interval(other)) for one, other in zip(a, b, strict=True)]
    assert [one.value for one in found] == pytest.approx(a.mean(axis=1) - b.mean(axis=1))
    low, high = (np.array([getattr(one, end) for one in found]) for end in ("low", "high"))
    assert ((low <= 1) & (high >= 1)).mean() >= 0.935
    # Half-widths have four degrees of freedom here; Welch's difference has from four to eight.
    welch = scipy.stats.ttest_ind(a, b, axis=1, equal_var=False).confidence_interval()
    wider = (high - low) / (welch.high - welch.low)
    most = scipy.stats.t.ppf(0.975, 4) / scipy.stats.t.ppf(0.975, 8)
    assert 0.999 < wider.min() <= wider.max() < 1.001 * most


def test_it_keeps_the_ends_of_what_does_not_vary_and_has_none_without_ends() -> None:
    sure = Interval(value=0.25, low=0.25, high=0.25, method="t", units="replicates", n_units=5)
    wide = sure.model_copy(update={"value": 0.5, "low": 0.4, "high": 0.7})
    found = difference(wide, sure)
    assert (found.low, found.high) == (pytest.approx(0.15), pytest.approx(0.45))
    turned = difference(sure, wide)
    assert (turned.low, turned.high) == (pytest.approx(-0.45), pytest.approx(-0.15))
    assert difference(wide, sure.model_copy(update={"low": None})).high is None
