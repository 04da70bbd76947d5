"""Figures of a curve: bits and accuracy of all attributors against the number of training texts, with the ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from natfp_bench.base.rungs import named
from natfp_bench.pipeline.curve_result import AttributorCurve, CurveResult
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.statistics.power_law import Law

from . import charts
from .curve_tables import ranked
from .drawing import Figure, figure
from .study_figures import ESTIMATE, estimate
from .trend_figures import STEPS

X_TITLE = "training texts per model"

TITLES = {"bits": "bits per text", "accuracy": "accuracy"}
"""Figures of a curve, and the titles of their axes."""


def curve_figures(of: CurveResult) -> Iterator[Figure]:
    """Draw bits and accuracy, each against the number of training texts on a logarithmic axis."""
    for metric, title in TITLES.items():
        rows: list[dict[str, Any]] = []
        for curve in ranked(of):
            name = named(curve.attributor.name, curve.attributor.knowledge)
            sound = [point for point in curve.points if point.status == "ok"]
            rows += [{"at": one.texts, "series": name, **estimate(one.metrics[metric])} for one in sound]
            if metric == "bits":
                called = f"power law: {name}"
                rows += [{"at": at, "series": called, "value": y, "dashed": True} for at, y in _law(curve)]
        if not rows:
            continue
        names = list(dict.fromkeys(str(row["series"]) for row in rows))
        lines = {} if of.ceiling is None else {of.ceiling.attributor.name: of.ceiling.metrics[metric].value}
        if metric == "accuracy":
            lines["chance"] = of.chance
        elif curve_bound := lines.get("ceiling"):
            lines["half of the ceiling"] = curve_bound / 2
        chart = charts.curve(
            rows,
            x="at",
            series="series",
            names=names,
            x_title=X_TITLE,
            y_title=title,
            logarithmic=True,
            points=all(not row.get("dashed") for row in rows),
            lines=lines,
        )
        over = "held-out replicates" if of.split == UNSEEN_REPLICATE else "test texts"
        caption = (
            "Each attributor learns from more and more texts of the same models, and is tested on the same test texts. "
            f"Bands are 95% intervals over {over}."
        )
        if any(row.get("dashed") for row in rows):
            caption += " A dashed curve is a power law that predicted its held-out largest point; beyond the points it "
            caption += "is not measured."
        shown = f"{title[0].upper()}{title[1:]} against the number of training texts"
        yield figure(f"texts-{metric}", shown, caption, {"series": "curve", "at": X_TITLE, **ESTIMATE}, rows, chart)


def _law(curve: AttributorCurve) -> Iterator[tuple[float, float]]:
    """Points of a fitted law that predicted its held-out point, as far as it is extrapolated."""
    fitted = curve.law
    if fitted is None or fitted.further is None:
        return
    law = Law(fitted.limit.value, fitted.scale, fitted.exponent.value)
    first = next(point.texts for point in curve.points if point.status == "ok")
    for at in np.geomspace(first, fitted.further[0], STEPS).tolist():
        yield at, law.at(at)
