"""The page of what makes figures trustworthy: controls, coverage and size under the null, and every run's checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from natfp_bench.report import figures as report_figures
from natfp_bench.report import page_tables as report_tables
from natfp_bench.report import study_figures as report_study_figures
from natfp_bench.report.page_tables import Grid
from natfp_bench.report.sheets import setting_title

from .page import Page, Pages, all_provenance, task_path

SIMULATIONS = Path(__file__).parents[1] / "simulations.json"


def validity(of: Pages) -> Page:
    """The page of what makes the figures trustworthy: controls, coverage and size under the null, checks."""
    rows, coverage, size = controls(of)
    checks = [
        (protocol.newest.task.name, setting_title(protocol.setting), task_path(protocol.newest), protocol.newest)
        for protocol in of.protocols
    ]
    columns = [report_tables.Column(name) for name in ("task", "setting", "checks that hold", "what does not")]
    lines = [
        report_tables.TableRow(
            [
                report_tables.Cell(name, path),
                report_tables.Cell(setting),
                report_tables.Cell(f"{sum(check.ok for check in result.checks)} of {len(result.checks)}"),
                report_tables.Cell("; ".join(result.failures)),
            ]
        )
        for name, setting, path, result in checks
    ]
    figure = report_figures.controls(rows)
    shown = {
        "figure": figure,
        "coverage": coverage,
        "size": size,
        "simulations": simulations(),
        "checks": Grid("Checks of every run", columns, [report_tables.Group(lines)], CHECKS),
        "faults": of.found.faults,
    }
    figures = [figure] if figure else []
    return Page("validity.html", "Validity", "validity.html", shown, figures, all_provenance(of))


def controls(of: Pages) -> tuple[list[dict[str, Any]], tuple[int, int], tuple[int, int]]:
    """Scores of all but floors on controls; of negative ones, how many intervals hold chance and p are below 0.05."""
    rows: list[dict[str, Any]] = []
    covered = below = tested = told = 0
    for protocol in of.protocols:
        control = protocol.newest.task.control
        if control is None:
            continue
        for name, score in protocol.main.items():
            found = score.metrics.get("accuracy")
            # A floor answers chance whatever it is asked: it would only make all of this look better, or worse.
            if found is None or score.attributor.floor:
                continue
            part = {"negative": "must be at chance", "positive": "must be above it"}[control]
            place = {"task": protocol.newest.task.name, "setting": setting_title(protocol.setting), "attributor": name}
            rows.append({**place, "part": part, **report_study_figures.estimate(score.metrics["identifiability"])})
            if control == "negative":
                if found.low is not None and found.high is not None:
                    told += 1
                    covered += found.low <= score.chance <= found.high
                if score.log10_p is not None:
                    tested += 1
                    below += 10**score.log10_p < 0.05
    return rows, (covered, told), (below, tested)


def simulations() -> list[Grid]:
    """What the package's statistics make of simulated experiments of known truth, as `benchmarks/validity.py` saw it.

    They say of the statistics what controls say of a run, and are the same on every page of one version.
    """
    names = ("what", "expected", "seen", "band", "holds")
    columns = [report_tables.Column(name) for name in names]
    grids = []
    for section in json.loads(SIMULATIONS.read_text(encoding="utf-8")):
        rows = [{**row, "holds": "yes" if row["holds"] else "no"} for row in section["rows"]]
        lines = [report_tables.TableRow([report_tables.Cell(row[name]) for name in names]) for row in rows]
        held = sum(row["holds"] for row in section["rows"])
        title = f"{section['title']}: {held} of {len(rows)} hold"
        grids.append(Grid(title, columns, [report_tables.Group(lines)], section["about"]))
    return grids


CHECKS = (
    "Every run checks that its models read the same training data, that likelihoods and sampler agree, and that no "
    "attributor is significantly above the ceiling."
)
