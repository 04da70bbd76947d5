"""Figures of trends: a curve for each figure against each quantity, with its fitted law."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from natfp_bench.results.trend_points import FIGURES, x_of
from natfp_bench.results.trends import Line, Trend
from natfp_bench.statistics.power_law import Law

from . import charts
from .drawing import Figure, figure

STEPS = 24
"""Points of a drawn law."""


def trend_figures(trend: Trend) -> Iterator[Figure]:
    """Draw the lines of a trend, those of one figure against one quantity together."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in trend.lines:
        groups.setdefault((line.figure, line.against), []).append(line)
    for (name, against), lines in groups.items():
        rows: list[dict[str, Any]] = []
        for line in lines:
            called = _called(line.fixed)
            rows += _measured(trend, line)
            rows += [{"series": f"power law: {called}", "at": at, "value": y, "dashed": True} for at, y in _law(line)]
        # In one order, so that a line has one colour in all figures of a trend.
        names = sorted(
            {str(row["series"]) for row in rows}, key=lambda name: (name.startswith("power law"), _numbers(name), name)
        )
        title = f"{FIGURES[lines[0].figure]} against {against}"
        chart = charts.curve(
            rows,
            x="at",
            series="series",
            names=names,
            x_title=AXES.get(against, against),
            y_title=FIGURES[lines[0].figure],
            logarithmic=True,
            points=all(not row.get("dashed") for row in rows),
        )
        caption = (
            "Bands are 95% intervals over models or replicates that are left out. A dashed curve is a fitted power "
            "law; beyond the points it is drawn only where it predicted a held-out point, and is not measured there."
        )
        columns = {"series": "line", "at": AXES.get(against, against), "value": "value", "low": "low", "high": "high"}
        yield figure(
            f"{name}-{against}".replace(" ", "-").replace(".", "-").replace("_", "-"),
            title[0].upper() + title[1:],
            caption,
            columns,
            rows,
            chart,
        )


AXES = {"excess": "held-out bits per byte over the true entropy", "tokens": "tokens of training"}
"""Titles of axes whose names say too little."""


def _called(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={found}" for path, found in settings.items()) or "measured"


def _numbers(name: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", name)]


def _measured(trend: Trend, line: Line) -> Iterator[dict[str, Any]]:
    """The points of a line with the intervals of their figures.

    A line against the excess goes through models of all sizes: those of each size are connected.
    """
    for at, height in line.points:
        for point in trend.points:
            found = point.figures[line.figure].estimate if line.figure in point.figures else None
            where = x_of(point, line.against)
            if found and where and (where.estimate.value, found.value) == (at, height):
                sizes = {path: one for path, one in point.swept.items() if not path.startswith("budget.")}
                called = _called(sizes if line.against == "excess" else line.fixed)
                yield {"series": called, "at": at, "value": height, "low": found.low, "high": found.high}
                break


def _law(line: Line) -> Iterator[tuple[float, float]]:
    """Points of the fitted law: over the measured ones, and beyond them if it may be extrapolated."""
    fitted = line.law
    if fitted is None or not fitted.settled:
        return
    law = Law(fitted.limit.value, fitted.scale, fitted.exponent.value)
    ends = [line.points[0][0], line.points[-1][0], *([fitted.further[0]] if fitted.further else [])]
    for at in np.geomspace(min(ends), max(ends), STEPS).tolist():
        yield at, law.at(at)
