"""The page of one curve: how many training texts attributors need."""

from __future__ import annotations

import shlex

from natfp_bench.pipeline.curve_result import CurveResult
from natfp_bench.report.curve_figures import curve_figures
from natfp_bench.report.curve_tables import ABOUT, curve_scope, curve_sentences, curve_table, curve_title

from .page import Facts, Page, Pages, curve_path, task_path


def curve(of: Pages, one: CurveResult) -> Page:
    """Make the page of a curve."""
    figures = list(curve_figures(one))
    ordinary = of.by_digest.get(one.protocol_digest)
    shown = {
        "curve": one,
        "scope": curve_scope(one),
        "about": ABOUT,
        "sentences": list(curve_sentences(one)),
        "tables": [curve_table(one)],
        "figures": figures,
        "ordinary": task_path(ordinary.newest) if ordinary else None,
        "failures": one.failures,
    }
    return Page(curve_path(one), curve_title(one), "curve.html", shown, figures, [_made(one)])


def _made(one: CurveResult) -> Facts:
    run, where = one.run, one.run.environment
    stages = ", ".join(f"{stage} {spent:,.1f} s" for stage, spent in run.work.items())
    return [
        ("run", f"{one.task.name} (version {one.task.version}), run {run.id}"),
        ("started", run.started),
        ("command", shlex.join(run.command) or "called from Python"),
        ("natfp_bench", f"{where.get('natfp_bench', 'unknown')}, commit {where.get('commit', 'not recorded')}"),
        ("digest of protocol", one.protocol_digest),
        ("took", f"{run.seconds.get('total', 0.0):,.1f} s; work that the result depends on: {stages}"),
    ]
