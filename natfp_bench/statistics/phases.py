"""Phases of a line: stretches in which a figure is shown to rise, or to fall."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Literal

import numpy as np

from natfp_bench.base.records import Record

from .paired import holm
from .power_law import Points, p_of
from .replication import SIGNIFICANT

Direction = Literal["rises", "falls"]


class Phase(Record):
    """A stretch of a line. start, end: x of its ends; first, last: the figure there.

    p: of no change, the largest of its steps from point to point, corrected by Holm for all steps of the line.
    """

    direction: Direction
    start: float
    end: float
    first: float
    last: float
    p: float


def phases_of(points: Points) -> tuple[Phase, ...]:
    """Steps from point to point that are shown, joined where they go the same way; x ascends.

    A step is tested by leaving out one unit at a time (`power_law.p_of`). A step that is not shown ends a phase.
    """
    tests = [_tested(points, i) for i in range(len(points.x) - 1)]
    known = [p for _, p in tests if p is not None]
    if len(known) < len(tests):
        return ()
    steps: list[tuple[int, Direction | None, float]] = [
        (i, ("rises" if change > 0 else "falls") if p <= SIGNIFICANT else None, p)
        for i, ((change, _), p) in enumerate(zip(tests, holm(known), strict=True))
    ]
    return tuple(_joined(steps, points))


def _tested(points: Points, i: int) -> tuple[float, float | None]:
    """Change of the figure from point i to the next one, and the p-value of no change."""
    estimate = points.estimate(lambda _, y: float(y[i + 1] - y[i]))
    return estimate.value, p_of(estimate, [float(y[i + 1] - y[i]) for _, y in points.left_out])


def _joined(steps: list[tuple[int, Direction | None, float]], points: Points) -> Iterator[Phase]:
    x, y = np.asarray(points.x), np.asarray(points.y)
    for direction, run in groupby(steps, key=lambda step: step[1]):
        own = list(run)
        if direction is not None:
            begin, end = own[0][0], own[-1][0] + 1
            yield Phase(
                direction=direction,
                start=float(x[begin]),
                end=float(x[end]),
                first=float(y[begin]),
                last=float(y[end]),
                p=max(p for _, _, p in own),
            )
