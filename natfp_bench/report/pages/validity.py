"""The page about validity: controls, coverage and false positives under the null, and the checks of every run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from natfp_bench.report import figures as report_figures
from natfp_bench.report.leaderboard_tables import factor_p, setting_title
from natfp_bench.report.study_figures import estimate
from natfp_bench.report.table import Cell, ReportTable, TableRow, interval, number
from natfp_bench.statistics.intervals import Interval

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
    sections = json.loads(SIMULATIONS.read_text(encoding="utf-8"))
    figure, simulated = report_figures.controls(rows), report_figures.simulated(sections)
    shown = {
        "figure": figure,
        "verdicts": verdicts(of),
        "simulated": simulated,
        "coverage": coverage,
        "size": size,
        "simulations": simulations(sections),
        "checks": ReportTable(
            "checks of every run", ("task", "setting", "passed checks", "failures"), checks, caption=CHECKS
        ),
        "faults": of.found.faults,
    }
    figures = [one for one in (figure, simulated) if one]
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


PASS, WEAK, FAIL = "pass", "weak", "fail"

WEAK_AT = 0.1
"""A negative control that could not have found an identifiability of this size says little."""


def verdicts(of: Pages) -> ReportTable | None:
    """What each control says, by the reference attributor: whether it holds, and what the preset could have found."""
    rows: list[TableRow] = []
    for protocol in of.protocols:
        row = of.row(protocol)
        main = row.unseen or row.seen
        if row.control is None or main is None or main.reference is None:
            continue
        outcome = control_verdict(row.control, main.reference, row.p, row.log10_p, row.detectable)
        rows.append(
            [
                Cell(row.task, about=row.protocol_digest),
                "must be at chance" if row.control == "negative" else "must be above it",
                setting_title(protocol.setting),
                interval(main.reference, 2),
                factor_p(row),
                "not known" if row.detectable is None else number(row.detectable, 2),
                outcome,
            ]
        )
    columns = ("control", "truth", "setting", "identifiability", "p", "could have found", "verdict of control")
    return ReportTable("verdicts on controls", columns, rows, caption=VERDICTS) if rows else None


def control_verdict(
    control: str, found: Interval, p: float | None, log10_p: float | None, detectable: float | None
) -> str:
    """Pass, weak or fail."""
    p = 10**log10_p if p is None and log10_p is not None else p
    above = found.low is not None and found.low > 0
    if control == "positive":
        return PASS if found.low is not None and found.low >= POSITIVE else WEAK if above else FAIL
    below = found.high is not None and found.high < 0
    signs = [above or below, p is not None and p < 0.05]
    if all(signs):
        return FAIL
    tight = found.low is not None and detectable is not None and detectable <= WEAK_AT
    return PASS if tight and not any(signs) else WEAK


POSITIVE = 0.5
"""Identifiability that a positive control must exceed to be called easy."""

VERDICTS = (
    "By the reference attributor. A negative control fails if its interval excludes chance and its p is below 0.05. It "
    "is weak if only one of these holds, if there is no interval, or if the preset would not have found an "
    f"identifiability of {WEAK_AT} with a power of 0.8. A positive control passes if its interval is above "
    f"{POSITIVE}, and is weak if it is only above chance."
)


def simulations(sections: Sequence[Mapping[str, Any]]) -> list[ReportTable]:
    """Tables of the statistics on simulated experiments whose truth is known, as `benchmarks/validity.py` wrote them.

    They check the statistics as controls check a run, and are the same on every page of one version.
    """
    names = ("what", "expected", "seen", "band", "holds")
    tables = []
    for section in sections:
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
