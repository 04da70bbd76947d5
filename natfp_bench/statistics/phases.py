"""Phases of a line: stretches in which a figure is shown to rise, or to fall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

from natfp_bench.base.records import Record

from .power_law import Points, p_of
from .replication import SIGNIFICANT

Direction = Literal["rises", "falls"]


class Step(Record):
    """From one point of a line to the next. start, end: x of both; first, last: the figure there; p: of no change."""

    start: float
    end: float
    first: float
    last: float
    p: float


class Phase(Record):
    """A stretch of a line. start, end: x of its ends; first, last: the figure there; p: the largest of its steps."""

    direction: Direction
    start: float
    end: float
    first: float
    last: float
    p: float


def steps_of(points: Points) -> tuple[Step, ...]:
    """The steps from point to point, x ascending, each tested by leaving out one unit at a time (`power_law.p_of`).

    None where there are too few units for a test.
    """
    found = []
    for i in range(len(points.x) - 1):
        estimate = points.estimate(lambda _, y, i=i: float(y[i + 1] - y[i]))  # type: ignore[misc]
        p = p_of(estimate, [float(y[i + 1] - y[i]) for _, y in points.left_out])
        if p is None:
            return ()
        start, end = (float(points.x[j]) for j in (i, i + 1))
        found.append(Step(start=start, end=end, first=float(points.y[i]), last=float(points.y[i + 1]), p=p))
    return tuple(found)


def phases_of(steps: Sequence[Step], adjusted: Sequence[float]) -> tuple[Phase, ...]:
    """Steps that are shown, joined where they go the same way; adjusted: their p-values after correction.

    A step that is not shown ends a phase.
    """
    return tuple(_joined(list(zip(steps, adjusted, strict=True))))


def _joined(steps: list[tuple[Step, float]]) -> Iterator[Phase]:
    for direction, run in groupby(steps, key=lambda one: _direction(*one)):
        own = list(run)
        if direction is not None:
            begin, end = own[0][0], own[-1][0]
            yield Phase(
                direction=direction,
                start=begin.start,
                end=end.end,
                first=begin.first,
                last=end.last,
                p=max(p for _, p in own),
            )


def _direction(step: Step, p: float) -> Direction | None:
    if p > SIGNIFICANT:
        return None
    return "rises" if step.last > step.first else "falls"
