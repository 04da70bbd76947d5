"""Figures of a curve: bits and accuracy against the number of training texts, of all attributors and of each rung."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from natfp_bench.base.rungs import ASKS, RUNGS, Rung, given, height
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
    """Draw bits and accuracy, each against the number of training texts on a logarithmic axis.

    If attributors know different things, bits have a figure for each rung as well.
    """
    curves = [curve for curve in ranked(of) if curve.sound]
    if not curves:
        return
    for metric in TITLES:
        yield _drawn(of, metric, curves)
    rungs = [rung for rung in RUNGS if any(curve.attributor.knowledge == rung for curve in curves)]
    for rung in rungs if len(rungs) > 1 else ():
        yield _drawn(of, "bits", curves, rung)


def _drawn(of: CurveResult, metric: str, curves: Sequence[AttributorCurve], rung: Rung | None = None) -> Figure:
    """Draw one metric of all curves, the best one first, or of one rung, beside the best of those that know less."""
    title = TITLES[metric]
    called, shown = f"texts-{metric}", f"{title[0].upper()}{title[1:]} against the number of training texts"
    beside, words = None, ""
    if rung:
        beside = next((one for one in curves if height(one.attributor.knowledge) < height(rung)), None)
        curves = [one for one in curves if one.attributor.knowledge == rung or one is beside]
        called, shown, words = f"{called}-{rung}", f"{shown}: rung {rung}", f" {ASKS[rung]} Given: {given(rung)}."
    if beside is not None:
        words += f" Of the attributors that know less, only the one that reads most is shown ({beside.name})."
    rows: list[dict[str, Any]] = []
    for curve in curves:
        rows += [{"at": one.texts, "series": curve.name, **estimate(one.metrics[metric])} for one in curve.sound]
        if metric == "bits":
            law = f"power law: {curve.name}"
            rows += [{"at": at, "series": law, "value": y, "dashed": True} for at, y in _law(curve)]
    lines = {} if of.ceiling is None else {of.ceiling.attributor.name: of.ceiling.metrics[metric].value}
    if metric == "accuracy":
        lines["chance"] = of.chance
    elif curve_bound := lines.get("ceiling"):
        lines["half of the ceiling"] = curve_bound / 2
    chart = charts.curve(
        rows,
        x="at",
        series="series",
        names=list(dict.fromkeys(str(row["series"]) for row in rows)),
        x_title=X_TITLE,
        y_title=title,
        logarithmic=True,
        points=all(not row.get("dashed") for row in rows),
        lines=lines,
        reference=beside.name if beside else None,
    )
    over = "held-out replicates" if of.split == UNSEEN_REPLICATE else "test texts"
    caption = (
        "Each attributor learns from more and more texts of the same models, and is tested on the same test texts. "
        f"Bands are 95% intervals over {over}."
    )
    if any(row.get("dashed") for row in rows):
        caption += " A dashed curve is a power law that predicted its held-out largest point; beyond the points it "
        caption += "is not measured."
    return figure(called, shown, caption + words, {"series": "curve", "at": X_TITLE, **ESTIMATE}, rows, chart)


def _law(curve: AttributorCurve) -> Iterator[tuple[float, float]]:
    """Points of a fitted law that predicted its held-out point, as far as it is extrapolated."""
    fitted = curve.law
    if fitted is None or fitted.further is None:
        return
    law = Law(fitted.limit.value, fitted.scale, fitted.exponent.value)
    first = curve.sound[0].texts
    for at in np.geomspace(first, fitted.further[0], STEPS).tolist():
        yield at, law.at(at)
