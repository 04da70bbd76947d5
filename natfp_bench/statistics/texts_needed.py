"""How many training texts an attributor needs to reach a height: between measured points, or by a power law that held.

`x`: (n,) numbers of texts, increasing; `y`: (n,) what is reached with them. No scipy: light commands load this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from natfp_bench.base.records import Record

from .curves import crossing
from .intervals import Floats, Interval, jackknife
from .power_law import FEWEST, Law, LawFit, Points, fit


class TextsNeeded(Record):
    """The number of texts with which a curve reaches a height, with its interval.

    how: `measured`: between two points. `extrapolated`: beyond the last one, by a law that predicted it. `fewest`: the
    first point is already there, so that fewer may do; texts is that point. `beyond`: by such a law, not even with
    `texts`, which is as far as it is extrapolated: the whole interval there is below the height. `unknown`: not with
    the most texts, which is `texts`, and nothing sure is known beyond. The last three have no interval.
    """

    height: float
    texts: Interval
    how: Literal["measured", "extrapolated", "fewest", "beyond", "unknown"]


def texts_needed(points: Points, height: float, heights: Sequence[float], law: LawFit | None) -> TextsNeeded:
    """Where a curve reaches a height; heights: the height without each unit, in the order of `points.left_out`."""
    pairs = list(zip(points.x.tolist(), points.y.tolist(), strict=True))

    def alone(at: float, how: Literal["fewest", "beyond", "unknown"]) -> TextsNeeded:
        texts = Interval(value=at, low=None, high=None, method="none", units=points.units, n_units=len(heights))
        return TextsNeeded(height=height, texts=texts, how=how)

    if pairs[0][1] >= height:
        return alone(pairs[0][0], "fewest")
    if crossing(pairs, height) is not None:
        return TextsNeeded(height=height, texts=_interval(points, height, heights, _between), how="measured")
    last = pairs[-1][0]
    if law is None or law.further is None:
        return alone(last, "unknown")
    far, there = law.further
    if there.high is not None and there.high < height:
        return alone(far, "beyond")
    reached = _by_law(points.x, points.y, height)
    if reached is None or reached > far:
        return alone(last, "unknown")
    found = _interval(points, height, heights, _by_law)
    return alone(last, "unknown") if found.low is None else TextsNeeded(height=height, texts=found, how="extrapolated")


def _between(x: Floats, y: Floats, height: float) -> float | None:
    """Interpolate over the logarithm of x; where all that is left of a unit falls just short, go by the law."""
    found = crossing(list(zip(x.tolist(), y.tolist(), strict=True)), height)
    return found if found is not None or len(x) < FEWEST else _by_law(x, y, height)


def _by_law(x: Floats, y: Floats, height: float) -> float | None:
    """Solve a fitted law for x; None if it never gets there."""
    law = fit(x, y, "settles")
    return solved(law, height)


def solved(law: Law, height: float) -> float | None:
    """The x at which a law that settles rises to a height; None if its limit is not above it."""
    if law.scale >= 0 or law.limit <= height:
        return None
    logarithm = math.log((height - law.limit) / law.scale) / law.exponent
    return math.exp(logarithm) if logarithm < 500 else None


def _interval(
    points: Points, height: float, heights: Sequence[float], of: Callable[[Floats, Floats, float], float | None]
) -> Interval:
    """The crossing with its jackknife interval on the scale of logarithms; none if it is lost without a unit."""
    value = of(points.x, points.y, height)
    assert value is not None  # noqa: S101  the caller has seen that the height is reached
    found = [of(x, y, own) for (x, y), own in zip(points.left_out, heights, strict=True)]
    logs = [math.log(one) for one in found if one is not None]
    # Fewer values than units make no interval.
    made = jackknife(math.log(value), logs if len(logs) == len(found) else [], points.units)
    low, high = (None if end is None else math.exp(end) for end in (made.low, made.high))
    return made.model_copy(update={"value": value, "low": low, "high": high, "n_units": len(found)})
