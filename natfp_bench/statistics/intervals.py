"""Estimates with 95% intervals: resampled over prompts, documents or other units, Wilson's, or Student's t.

Texts of one prompt share its topic and difficulty, so they are not independent: the prompt is the unit of every
resampling. `values`: (n,) float, one per text; `prompts`: (n,) int. scipy is imported inside functions, since it is
slow to import and light commands load this module.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.records import Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2_000
BLOCK = 100
"""Resamples or sign flips drawn at once, one stream row per block: bounds memory; part of what a seed means."""


class Interval(Record):
    """An estimate and its 95% interval; low and high are None if there are too few units to estimate a spread."""

    value: float
    low: float | None
    high: float | None
    method: str
    units: str
    n_units: int


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion, as (low, high); `hits` may be fractional.

    Raises ValueError unless 0 <= hits <= n and n is positive.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"no proportion: {hits} hits of {n}")
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The ends are exact by algebra; rounding must not move them inwards.
    low = 0.0 if hits == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if hits == n else min(1.0, (centre + half) / scale)
    return low, high


def wilson_interval(share: float, units: str, n_units: int) -> Interval:
    """Wilson's interval of a share of `n_units` units."""
    low, high = wilson(min(share, 1.0) * n_units, n_units)
    return Interval(value=share, low=low, high=high, method="wilson", units=units, n_units=n_units)


def exact_mean(values: Floats) -> float:
    """Mean that is summed exactly and rounded once: n credits of 1/k must average to 1/k."""
    return math.fsum(values) / len(values)


def mean_interval(values: Floats, prompts: Ints, seed: int) -> Interval:
    """Mean over texts of any per-text value (n,), with a percentile bootstrap over prompts."""
    per_text = np.vstack([np.ones(len(values)), values])
    sums, n_units = resampled_sums(per_text, prompts, seed)
    return percentile_interval(exact_mean(values), sums[1] / sums[0], "prompts", n_units)


def mean_intervals(values: Sequence[tuple[Floats, Ints]], seed: int) -> list[Interval]:
    """`mean_interval` of each of several per-text values (n,), given with their prompts (n,).

    The random draws take most of the time and depend on the number of prompts alone, so values with equally many
    prompts share them.
    """
    made: list[Interval | None] = [None] * len(values)
    groups: dict[int, list[tuple[int, Floats]]] = {}
    for place, (value, prompts) in enumerate(values):
        by_prompt = prompt_sums(np.column_stack([np.ones_like(value), value]), prompts)
        if value.any():
            groups.setdefault(len(by_prompt), []).append((place, by_prompt))
        else:
            made[place] = percentile_interval(0.0, np.zeros(1), "prompts", len(by_prompt))
    for n_prompts, group in groups.items():
        columns = np.hstack([by_prompt for _, by_prompt in group])
        resampled, _ = resampled_sums(columns.T, np.arange(n_prompts), seed)
        means, counts = resampled[1::2] / resampled[::2], columns.sum(axis=0)
        for (place, _), mean, total, count in zip(group, means, counts[1::2], counts[::2], strict=True):
            made[place] = percentile_interval(float(total / count), mean, "prompts", n_prompts)
    return [one for one in made if one is not None]


def ratio_interval(numerators: Floats, denominators: Floats, seed: int, units: str) -> Interval:
    """Ratio of sums, such as bits over bytes of documents, with a percentile bootstrap over the units (n,).

    Raises ValueError on no units or a denominator that is not positive.
    """
    per_unit = np.vstack([denominators, numerators]).astype(np.float64)
    if not per_unit.size or per_unit[0].min() <= 0:
        raise ValueError("a ratio needs units, each with a positive denominator")
    sums, n_units = resampled_sums(per_unit, np.arange(per_unit.shape[1]), seed)
    value = math.fsum(per_unit[1]) / math.fsum(per_unit[0])
    return percentile_interval(value, sums[1] / sums[0], units, n_units)


def percentile_interval(value: float, resampled: Floats, units: str, n_units: int) -> Interval:
    """Interval of an estimate from its resampled values, as wide as Student's if there are few units."""
    low: float | None
    high: float | None
    if n_units < 2:
        low = high = None
    elif np.ptp(resampled) <= 1e-12 * max(1.0, abs(value)):
        low = high = value  # a spread of rounding errors is no spread
    else:
        low, high = (float(q) for q in np.quantile(resampled, _expanded(n_units)))
    return Interval(value=value, low=low, high=high, method="bootstrap", units=units, n_units=n_units)


def _expanded(n_units: int) -> tuple[float, float]:
    """Quantiles at which a percentile bootstrap is as wide as Student's interval, for a mean (Hesterberg 2015).

    A plain percentile interval has the spread of n units, not of n - 1, and normal tails; with few units it is too
    narrow.
    """
    from scipy.special import ndtr, stdtrit

    tail = float(ndtr(math.sqrt(n_units / (n_units - 1)) * stdtrit(n_units - 1, 0.025)))
    return tail, 1.0 - tail


def resampled_sums(per_text: Floats, units: Ints, seed: int) -> tuple[Floats, int]:
    """Sums over resampled units of s statistics (s, n): (s, RESAMPLES), and the number of units.

    A resample is a vector of weights over units, so all resamples are one product with the matrix of unit sums. The
    product is scipy's sparse one, because most statistics are class indicators, and because it always adds in the same
    order: unlike with BLAS, results repeat byte for byte with any number of threads.
    """
    from scipy.sparse import csr_array

    names, unit = np.unique(units, return_inverse=True)
    n, n_units = len(unit), len(names)
    membership = csr_array((np.ones(n), (np.arange(n), unit)), shape=(n, n_units))
    by_unit: Any = csr_array(per_text) @ membership
    sums = np.empty((len(per_text), RESAMPLES))
    resample = np.repeat(np.arange(BLOCK), n_units)
    for block in range(RESAMPLES // BLOCK):
        words = streams.raw(BLOCK * n_units, "bootstrap", seed, row=block) >> np.uint64(32)
        drawn = ((words * np.uint64(n_units)) >> np.uint64(32)).astype(np.int64)
        weights = np.bincount(drawn * BLOCK + resample, minlength=n_units * BLOCK).reshape(n_units, BLOCK)
        sums[:, block * BLOCK : (block + 1) * BLOCK] = by_unit @ weights.astype(np.float64)
    return sums, n_units


def prompt_sums(values: Floats, prompts: Ints) -> Floats:
    """Sum the rows of values (n, m) by prompt: (prompts, m)."""
    names, unit = np.unique(prompts, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, unit, values)
    return sums


FEWEST_UNITS = 3
"""Two units leave one degree of freedom: an interval thirteen standard errors wide says nothing."""


def scipy_quantile(df: int) -> float:
    """Quantile of Student's t at 0.975."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))


def t_interval(
    values: Floats | Sequence[float],
    value: float | None = None,
    *,
    units: str = "replicates",
    quantile: Callable[[int], float] = scipy_quantile,
    cross_fitted: bool = False,
) -> Interval:
    """Mean over units (R,) with Student's 95% interval (1908), df = R - 1.

    value: the estimate to report and to centre the interval on, if it is not the plain mean (pooled over replicates of
    unequal size, say). cross_fitted: see `standard_error`. Nothing is clipped: the interval of an accuracy may pass 1.
    Below three units there is no interval (method `none`). Equal values give an interval without width. Raises
    ValueError on no units.
    """
    found = [float(one) for one in values]
    if not found:
        raise ValueError(f"no {units}, no mean")
    # The mean of equal numbers may be off by a rounding.
    mean = found[0] if min(found) == max(found) else statistics.fmean(found)
    centre, n = mean if value is None else value, len(found)
    if n < FEWEST_UNITS:
        return Interval(value=centre, low=None, high=None, method="none", units=units, n_units=n)
    half = quantile(n - 1) * standard_error(found, cross_fitted=cross_fitted)
    method = "cross-fitted t" if cross_fitted else "t"
    return Interval(value=centre, low=centre - half, high=centre + half, method=method, units=units, n_units=n)


def fold_interval(values: Floats | Sequence[float], *, quantile: Callable[[int], float] = scipy_quantile) -> Interval:
    """Mean over held-out replicates, (R,) figures of one fit each: `t_interval` with the error of shared fits."""
    return t_interval(values, quantile=quantile, cross_fitted=True)


def difference(a: Interval, b: Interval) -> Interval:
    """Subtract b from a, two estimates from different units, each with its interval; no ends if one has none.

    The distance from each estimate to the end of its interval stands for its error (MOVER: Zou and Donner, Statistics
    in Medicine 27, 2008), so that the interval holds where both do. If the estimates rise and fall together, it is too
    wide rather than too narrow.
    """
    low = high = None
    if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
        low = a.value - b.value - math.hypot(a.value - a.low, b.high - b.value)
        high = a.value - b.value + math.hypot(a.high - a.value, b.value - b.low)
    fewer = min(a.n_units, b.n_units)
    return Interval(value=a.value - b.value, low=low, high=high, method="independent", units=a.units, n_units=fewer)


def standard_error(values: Sequence[float], *, cross_fitted: bool) -> float:
    """Standard error of the mean of R >= 2 values: s / sqrt(R) if they are independent.

    cross_fitted: each value is the test of a fit on the other R - 1 replicates. Fits share most of what they learn
    from, so their errors correlate. With Nadeau and Bengio's correction (Machine Learning 52, 2003, section 4) the
    variance is s^2 (1/R + 1/(R - 1)): the second part is the ratio of test to training replicates.
    """
    if min(values) == max(values):  # the deviation may be above zero by a rounding
        return 0.0
    n = len(values)
    share = 1 / n + (1 / (n - 1) if cross_fitted else 0.0)
    return statistics.stdev(values) * math.sqrt(share)


def student_quantile(df: int) -> float:
    """Quantile of Student's t at 0.975.

    scipy has it too, but takes longer to import than the whole leaderboard takes.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, df) < 0.95 else (low, middle)
    return math.sqrt(df) * math.tan(high)


def student_p(t: float, df: int) -> float:
    """Two-sided p-value of Student's t, without scipy."""
    return max(0.0, 1.0 - _within(math.atan(abs(t) / math.sqrt(df)), df))


def _within(angle: float, df: int) -> float:
    """P(|T| < sqrt(df) tan(angle)) of Student's t (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    odd = df % 2
    # For even df 1, 1/2 c^2, (1 3)/(2 4) c^4, ...; for odd df c, 2/3 c^3, (2 4)/(3 5) c^5, ...
    term = total = math.cos(angle) ** odd
    for i in range(2 + odd, df, 2):
        term *= (i - 1) / i * math.cos(angle) ** 2
        total += term
    share = math.sin(angle) * total if df > 1 else 0.0
    return (angle + share) * 2 / math.pi if odd else share


def jackknife(value: float, left_out: Sequence[float], units: str) -> Interval:
    """An estimate with the interval of leaving out one of n units at a time (Tukey 1958), with Student's t, df = n - 1.

    left_out: the estimate without each unit, (n,). Below three units there is no interval.
    """
    n = len(left_out)
    if n < FEWEST_UNITS:
        return Interval(value=value, low=None, high=None, method="none", units=units, n_units=n)
    half = student_quantile(n - 1) * jackknife_error(left_out)
    return Interval(value=value, low=value - half, high=value + half, method="jackknife t", units=units, n_units=n)


def jackknife_error(left_out: Sequence[float]) -> float:
    """Standard error of an estimate from its n values without one unit each."""
    mean, n = statistics.fmean(left_out), len(left_out)
    return math.sqrt((n - 1) / n * math.fsum((one - mean) ** 2 for one in left_out))


SHARP = 0.5
"""Half of the interval of a held-out difference, relative to what was seen; if it is larger, a test says nothing."""
