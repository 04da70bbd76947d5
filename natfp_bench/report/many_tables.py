"""Many candidates as a table, sentences and a figure: accuracy against the number of models to choose between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from natfp_bench.results.many import ManyCandidates
from natfp_bench.statistics.candidates import FURTHER
from natfp_bench.statistics.intervals import SHARP

from . import charts
from .drawing import Figure, figure
from .leaderboard_tables import setting_title
from .table import Cell, ReportTable, estimate_cell, interval, test_verdict

ABOUT_MANY = (
    "Accuracy among some of the candidates is the mean over all sets of so many. Intervals leave out one model at a "
    "time. The law for more candidates (each text beats a random rival with a probability of its own, whose probit is "
    "normal over texts) is fitted to every other model, and tested on the texts of the others among all; it is "
    f"extrapolated to {FURTHER:,} only if the difference is within its interval, and this is no wider than "
    f"{SHARP:.0%} of what was seen on each side. Attributors have learnt all models, and choose by the probabilities "
    "that they state."
)


def many_title(many: ManyCandidates) -> str:
    """Name a result with many candidates."""
    return f"{many.task}: {many.classes} candidates ({setting_title(many.setting)})"


def many_table(many: ManyCandidates) -> ReportTable:
    """Make the table: a row for each attributor, a column for each number of candidates."""
    sizes = [k for k, _ in next(iter(many.curves.values())).points]
    columns = ("attributor", *(f"of {k}" for k in sizes), "held-out test", f"of {FURTHER:,}, extrapolated")
    rows = []
    for name, curve in many.curves.items():
        cells = [estimate_cell(found, interval(found)) for _, found in curve.points]
        further = interval(curve.further[1]) if curve.further else "not known"
        rows.append(
            [
                Cell(name, about=name),
                *cells,
                Cell(test_verdict(agrees=curve.test.agrees, sound=curve.test.sound)),
                Cell(further),
            ]
        )
    about = f"{many.texts:,} test texts. {ABOUT_MANY}"
    return ReportTable(
        f"accuracy among some of {many.classes} candidates", columns, rows, right=columns[1:-2], caption=about
    )


def many_sentences(many: ManyCandidates) -> Iterator[str]:
    """Say for each attributor how accuracy falls, whether the law held, and what it would be with a thousand."""
    for name, curve in many.curves.items():
        (few, first), (most, last) = curve.points[0], curve.points[-1]
        test = curve.test
        said = (
            f"{name}: accuracy is {_estimate(first)} among {few} candidates and {_estimate(last)} among {most}, where "
            f"chance is {1 / most:.3f}. A law fitted to {test.fitted} models predicts {_estimate(test.predicted)} "
            f"for the texts of the others among {test.among}, and {_estimate(test.observed)} was seen: "
        )
        said += f"the prediction {test_verdict(agrees=test.agrees, sound=test.sound)}."
        if curve.further:
            at, found = curve.further
            said += f" Extrapolated, not measured: {_estimate(found)} among {at:,}, where chance is {1 / at:.3f}."
        yield said


def _estimate(found: Any) -> str:
    estimate, _, within = interval(found).partition(" ")
    return f"{estimate} (95% {within})" if within else estimate


def many_figure(many: ManyCandidates) -> Figure:
    """Draw accuracy against the number of candidates, with the laws and chance."""
    rows: list[dict[str, Any]] = []
    for name, curve in many.curves.items():
        rows += [
            {"at": k, "series": name, "value": found.value, "low": found.low, "high": found.high}
            for k, found in curve.points
        ]
        if curve.further:
            rows += [{"at": k, "series": f"law: {name}", "value": height, "dashed": True} for k, height in curve.law]
    last = max(row["at"] for row in rows)
    rows += [{"at": k, "series": "chance", "value": 1 / k, "dashed": True} for k in sorted({row["at"] for row in rows})]
    names = list(dict.fromkeys(str(row["series"]) for row in rows))
    title, x_title = "Accuracy against the number of candidates", "candidates"
    chart = charts.curve(
        rows, x="at", series="series", names=names, x_title=x_title, y_title="accuracy", logarithmic=True, points=False
    )
    caption = "Bands are 95% intervals over models that are left out; the dashed grey line is chance."
    if last > many.classes:
        caption += f" Other dashed curves are fitted laws: what lies beyond {many.classes} is not measured."
    columns = {"series": "curve", "at": x_title, "value": "accuracy", "low": "low", "high": "high"}
    return figure("candidates", title, caption, columns, rows, chart)
