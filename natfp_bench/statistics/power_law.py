"""Power laws with a limit, y = limit + scale * x ** exponent, and what they say beyond the points.

`x`: (n,) positive, what a figure is drawn against; `y`: (n,). A law that `settles` has a negative exponent, and its
limit is at large x (tokens, parameters). One that `vanishes` has a positive exponent, and its limit is at x = 0 (the
excess over the true entropy). No scipy: light commands load this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from natfp_bench.base.records import Record

from .intervals import FEWEST_UNITS, SHARP, Floats, Interval, jackknife, jackknife_error, student_p

Toward = Literal["settles", "vanishes"]
"""Where a law has its limit: at large x, or at x = 0."""

FEWEST = 4
"""Fewest distinct x of a fit: a law has three parameters."""

EXPONENTS = (0.05, 3.0)
"""Range of the exponent's size. Below it, a law is a logarithm; above it, one point makes it."""

FURTHER = 4.0
"""How far an extrapolation goes: this many times the largest x, or this part of the smallest."""


@dataclass(frozen=True)
class Law:
    """One fitted law."""

    limit: float
    scale: float
    exponent: float

    def at(self, x: float) -> float:
        """Height of the curve."""
        return self.limit + self.scale * float(x**self.exponent)


@dataclass(frozen=True)
class Points:
    """Points of a curve, and the same without one unit (model, replicate) each.

    x, y: (n,). left_out: for each unit, (x, y) without it; empty if there are no units to leave out.
    """

    x: Floats
    y: Floats
    left_out: Sequence[tuple[Floats, Floats]]
    units: str

    def only(self, kept: Floats) -> Points:
        """A part of the points."""
        return Points(self.x[kept], self.y[kept], [(x[kept], y[kept]) for x, y in self.left_out], self.units)

    def estimate(self, of: Callable[[Floats, Floats], float]) -> Interval:
        """A figure of the points, with its jackknife interval."""
        return jackknife(of(self.x, self.y), [of(x, y) for x, y in self.left_out], self.units)


class Prediction(Record):
    """A test of a law: it was fitted without the furthest point, and predicted it.

    at: its x. predicted: with the interval of the prediction. observed: what was seen. agrees: whether the difference
    is within its own interval. sound: it is, and the interval is narrow enough to say something.
    """

    at: float
    predicted: Interval
    observed: float
    agrees: bool
    sound: bool


class LawFit(Record):
    """A fitted law with intervals. p_limit: two-sided p-value of a limit of zero; None without units.

    settled: whether the exponents, with all units and without each, are within the range that is looked through. At its
    edge, a law is nearly a logarithm, or one point makes it: then nothing is known of a limit.
    further: the x and the figure of an extrapolation, only if the law predicted a held-out point.
    """

    limit: Interval
    exponent: Interval
    scale: float
    settled: bool
    p_limit: float | None
    prediction: Prediction | None
    further: tuple[float, Interval] | None


def fit(x: Floats, y: Floats, toward: Toward) -> Law:
    """Fit a law by least squares of relative errors; raises ValueError for fewer than FEWEST distinct x."""
    if len(np.unique(x)) < FEWEST:
        raise ValueError(f"a law has three parameters: {FEWEST} distinct x are needed")
    sign = -1.0 if toward == "settles" else 1.0
    # In units of the middle of the points: powers of large numbers of tokens would be badly conditioned.
    middle = float(np.exp(np.log(x).mean()))
    weights = 1.0 / np.maximum(np.abs(y), 0.05 * np.abs(y).max() or 1.0) ** 2
    low, high = EXPONENTS
    for _ in range(5):
        sizes = np.geomspace(low, high, 25)
        limits, scales, errors = _linear(x / middle, y, weights, sign * sizes)
        best = int(np.argmin(errors))
        low, high = sizes[max(best - 1, 0)], sizes[min(best + 1, len(sizes) - 1)]
    exponent = sign * float(sizes[best])
    return Law(float(limits[best]), float(scales[best]) / middle**exponent, exponent)


def _linear(x: Floats, y: Floats, weights: Floats, exponents: Floats) -> tuple[Floats, Floats, Floats]:
    """Limit, scale and squared error of the best law with each of some exponents, (m,) each."""
    powers = x ** exponents[:, None]
    shares = weights / weights.sum()
    centred, rest = powers - (powers @ shares)[:, None], y - y @ shares
    scales = (centred * rest) @ weights / (centred**2 @ weights)
    limits = y @ shares - scales * (powers @ shares)
    return limits, scales, (rest - scales[:, None] * centred) ** 2 @ weights


def slope(x: Floats, y: Floats) -> float:
    """Change of y when x doubles: the slope of the straight line over the logarithm of x."""
    logs = np.log2(x)
    centred = logs - logs.mean()
    return float((centred * (y - y.mean())).sum() / (centred**2).sum())


def p_of(estimate: Interval, left_out: Sequence[float]) -> float | None:
    """Two-sided p-value of an estimate of zero, by its jackknife; None without an interval."""
    if len(left_out) < FEWEST_UNITS:
        return None
    error = jackknife_error(left_out)
    return student_p(estimate.value / error, len(left_out) - 1) if error > 0 else float(estimate.value == 0)


def slope_of(points: Points) -> tuple[Interval, float | None]:
    """The slope with its interval, and the p-value of no slope."""
    found = points.estimate(slope)
    return found, p_of(found, [slope(x, y) for x, y in points.left_out])


def law_of(points: Points, toward: Toward) -> LawFit:
    """Fit a law, test it on the furthest point, and extrapolate if it passed."""
    law, others = fit(points.x, points.y, toward), [fit(x, y, toward) for x, y in points.left_out]
    limits, exponents = [one.limit for one in others], [one.exponent for one in others]
    limit = jackknife(law.limit, limits, points.units)
    low, high = EXPONENTS
    settled = all(1.01 * low < abs(one.exponent) < 0.99 * high for one in (law, *others))
    tested = _tested(points, toward) if len(np.unique(points.x)) > FEWEST else None
    further = None
    if tested and tested.sound and settled:
        x = float(points.x.max() * FURTHER if toward == "settles" else points.x.min() / FURTHER)
        further = (x, points.estimate(lambda a, b: fit(a, b, toward).at(x)))
    return LawFit(
        limit=limit,
        exponent=jackknife(law.exponent, exponents, points.units),
        scale=law.scale,
        settled=settled,
        p_limit=p_of(limit, limits) if settled else None,
        prediction=tested,
        further=further,
    )


def _tested(points: Points, toward: Toward) -> Prediction:
    """Fit without the furthest point, and compare what the law predicts there with what was seen."""
    far = int(np.argmax(points.x) if toward == "settles" else np.argmin(points.x))
    kept = np.arange(len(points.x)) != far

    def predicted(x: Floats, y: Floats) -> float:
        return fit(x[kept], y[kept], toward).at(float(x[far]))

    # Prediction and observation share models, so the error of the difference is that of the difference.
    found = points.estimate(predicted)
    difference = points.estimate(lambda x, y: predicted(x, y) - float(y[far]))
    observed = float(points.y[far])
    agrees = sound = False
    if difference.low is not None and difference.high is not None:
        agrees = difference.low <= 0 <= difference.high
        sound = agrees and difference.high - difference.low <= 2 * SHARP * abs(observed)
    return Prediction(at=float(points.x[far]), predicted=found, observed=observed, agrees=agrees, sound=sound)
