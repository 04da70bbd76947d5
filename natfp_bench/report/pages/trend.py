"""The page of one trend: a task at many values of some settings."""

from __future__ import annotations

from natfp_bench.report.trend_figures import trend_figures
from natfp_bench.report.trend_tables import ABOUT, answers, scope, sentences, trend_tables, trend_title
from natfp_bench.results.trends import Trend

from .page import Page, Pages, about, provenance, question, trend_path


def trend(of: Pages, one: Trend) -> Page:
    """Make the page of a trend."""
    results = [of.by_digest[point.protocol_digest].newest for point in one.points]
    figures = list(trend_figures(one))
    shown = {
        "question": question(results[0]),
        "notes": about(results[0]),
        "scope": scope(one),
        "about": ABOUT,
        "answers": list(answers(one)),
        "sentences": list(sentences(one)),
        "tables": trend_tables(one),
        "figures": figures,
    }
    return Page(
        trend_path(one), f"Trend: {trend_title(one)}", "trend.html", shown, figures, [*map(provenance, results)]
    )
