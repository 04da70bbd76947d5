"""The page about validity: controls, coverage and false positives under the null, and the checks of every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from natfp_bench.report import figures as report_figures
from natfp_bench.report.leaderboard_tables import setting_title
from natfp_bench.report.study_figures import estimate
from natfp_bench.report.table import Cell, ReportTable, TableRow

from .page import Page, Pages, all_provenance

SIMULATIONS = Path(__file__).parents[1] / "simulations.json"


def validity(of: Pages) -> Page:
    """Make the page about validity."""
    rows, coverage, size = controls(of)
    checks: list[TableRow] = [
        [
            Cell(result.task.name, about=result.protocol_digest),
            setting_title(protocol.setting),
            f"{sum(check.ok for check in result.checks)} of {len(result.checks)}",
            "; ".join(result.failures),
        ]
        for protocol in of.protocols
        for result in [protocol.newest]
    ]
    figure = report_figures.controls(rows)
    shown = {
        "figure": figure,
        "coverage": coverage,
        "size": size,
        "simulations": simulations(),
        "checks": ReportTable(
            "checks of every run", ("task", "setting", "passed checks", "failures"), checks, caption=CHECKS
        ),
        "faults": of.found.faults,
    }
    figures = [figure] if figure else []
    return Page("validity.html", "Validity", "validity.html", shown, figures, all_provenance(of))


def controls(of: Pages) -> tuple[list[dict[str, Any]], tuple[int, int], tuple[int, int]]:
    """Scores on controls, without floors; how many intervals of negative ones contain chance, how many p are < 0.05."""
    rows: list[dict[str, Any]] = []
    covered = below = tested = bounded = 0
    for protocol in of.protocols:
        control = protocol.newest.task.control
        if control is None:
            continue
        for name, score in protocol.main.items():
            found = score.metrics.get("accuracy")
            # A floor is at chance whatever the texts: its scores say nothing about validity.
            if found is None or score.attributor.floor:
                continue
            part = {"negative": "must be at chance", "positive": "must be above it"}[control]
            place = {"task": protocol.newest.task.name, "setting": setting_title(protocol.setting), "attributor": name}
            rows.append({**place, "part": part, **estimate(score.metrics["identifiability"])})
            if control == "negative":
                if found.low is not None and found.high is not None:
                    bounded += 1
                    covered += found.low <= score.chance <= found.high
                if score.log10_p is not None:
                    tested += 1
                    below += 10**score.log10_p < 0.05
    return rows, (covered, bounded), (below, tested)


def simulations() -> list[ReportTable]:
    """Tables of the statistics on simulated experiments whose truth is known, as `benchmarks/validity.py` wrote them.

    They check the statistics as controls check a run, and are the same on every page of one version.
    """
    names = ("what", "expected", "seen", "band", "holds")
    tables = []
    for section in json.loads(SIMULATIONS.read_text(encoding="utf-8")):
        rows = [{**row, "holds": "yes" if row["holds"] else "no"} for row in section["rows"]]
        held = sum(row["holds"] for row in section["rows"])
        title = f"{section['title']}: {held} of {len(rows)} hold"
        tables.append(
            ReportTable(title, names, [[row[name] for name in names] for row in rows], caption=section["about"])
        )
    return tables


CHECKS = (
    "Every run checks that its models were trained on the same data, that likelihoods and sampler agree, and that no "
    "attributor is significantly above the ceiling."
)
