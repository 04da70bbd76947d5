"""The page of one attributor: card, scores, cost, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natfp_bench.attributors import registry
from natfp_bench.report import figures as report_figures
from natfp_bench.report.leaderboard_tables import setting_title
from natfp_bench.report.page_texts import calibration
from natfp_bench.report.study_figures import estimate
from natfp_bench.report.table import (
    Cell,
    Heading,
    ReportTable,
    TableRow,
    bar_cell,
    estimate_cell,
    interval,
    number_cell,
    value,
)
from natfp_bench.results.leaderboard import SECTIONS
from natfp_bench.results.protocols import Protocol

from .page import Facts, Page, Pages, all_provenance, attributor_path, boards_of

CAPTION = (
    "Scores for levels, on unseen replicates if a task holds out replicates, else on seen ones, which are not "
    "comparable. The rank is among the attributors of that task. Seconds and memory are for fitting to levels and "
    "predicting them, as measured where they ran."
)


def attributor(of: Pages, name: str) -> Page:
    """Make the page of one attributor: card, scores, cost, calibration."""
    rows: dict[tuple[str, str], list[list[Cell]]] = {}
    per_task: list[dict[str, Any]] = []
    guesses: dict[str, list[Any]] = {}
    known: dict[str, str] = {}
    for protocol in sorted(of.protocols, key=lambda protocol: SECTIONS.index(of.row(protocol).section)):
        if name not in protocol.main:
            continue
        section, title = of.row(protocol).section, setting_title(protocol.setting)
        score, task = protocol.main[name], protocol.newest.task
        known[score.attributor.version] = score.attributor.digest or ""
        rows.setdefault((section, title), []).append(_task_cells(of, protocol, name))
        if found := score.metrics.get("identifiability"):
            per_task.append({"task": task.name, "section": section, "part": title, **estimate(found)})
            if task.control is None:
                of.read(protocol)
                guesses.setdefault(title, []).append(of.guesses[protocol.newest.protocol_digest][name])
    several = len(of.found.standings) > 1
    headed: list[TableRow] = []
    for (part, title), own in rows.items():
        headed += [Heading(f"{part}: {title}" if several else part), *own]
    right = ("rank", "accuracy", "identifiability", "bits", "fit, s", "predict, s", "memory, MB")
    scores = ReportTable(
        "scores on every task",
        ("task", "identifiability, 95%", *right),
        headed,
        right=right,
        caption=CAPTION,
        bars=("identifiability, 95%",),
    )
    calibrated = [{"part": title, **one} for title, own in guesses.items() for one in calibration(own)]
    figures = [report_figures.over_tasks(per_task, name), report_figures.calibration(calibrated, name)]
    drawn = [figure for figure in figures if figure]
    shown = {"name": name, "card": card(name, known), "scores": scores, "figures": drawn}
    return Page(attributor_path(name), name, "attributor.html", shown, drawn, all_provenance(of))


def _task_cells(of: Pages, protocol: Protocol, name: str) -> list[Cell]:
    """One row of the table: the attributor's score and cost on one task."""
    score, result = protocol.main[name], protocol.newest
    rank = next(
        row.rank
        for board in boards_of(of, protocol)
        if (board.target, board.split) == (score.target, score.split)
        for row in board.rows
        if row.attributor == name
    )
    spent = protocol.seconds.get(f"level/{name}", {})
    memory = next((m for _, one in reversed(protocol.results) if (m := one.run.memory_mb.get(f"level/{name}"))), None)
    identifiability, accuracy, bits = map(score.metrics.get, ("identifiability", "accuracy", "bits"))
    return [
        Cell(result.task.name + (f" (failed: {score.error})" if score.error else ""), about=result.protocol_digest),
        bar_cell(identifiability),
        number_cell(rank, "d"),
        estimate_cell(accuracy, interval(accuracy)),
        estimate_cell(identifiability, value(identifiability)),
        estimate_cell(bits, value(bits)),
        *(number_cell(spent.get(part), ",.1f") for part in ("fit", "predict")),
        number_cell(memory, ",d"),
    ]


def card(name: str, known: Mapping[str, str]) -> Facts:
    """List the card of an attributor, and the versions that its scores belong to, each with its digest."""
    versions = ", ".join(f"{version} ({made[:12] or 'no digest'})" for version, made in known.items())
    scored = ("version of the scores", versions)
    found = next((one for one in registry.bundled() if one.name == name), None)
    if found is None:
        return [("card", "not a bundled baseline: its card is in its own folder"), scored]
    of = found.card
    facts = [
        ("summary", of.summary),
        ("authors", ", ".join(of.authors)),
        ("version", of.version),
        ("paper", of.paper or ""),
        ("licence", of.licence),
        ("tags", ", ".join(of.tags)),
        ("cost", of.cost + (", a floor: it does not look at texts" if of.floor else "")),
        ("requires", ", ".join(of.requires)),
        ("limits of a fit", f"{of.limits.seconds:,.0f} s, {of.limits.memory_mb:,} MB"),
        scored,
    ]
    if found.digest not in known.values():
        facts.append(("note", "the scores belong to other files than this card"))
    return [(what, said) for what, said in facts if said]
