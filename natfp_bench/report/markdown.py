"""Leaderboards as GitHub Markdown: the tables of the terminal with their captions, and how the results were made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from natfp_bench.base.markdown import code, escape, grid
from natfp_bench.pipeline.result import Result
from natfp_bench.results.leaderboard import Leaderboards, Origin

from .corpora_table import corpora_tables
from .finding import finding, scope
from .leaderboard_tables import board_table, setting_title, standing_tables
from .table import ReportTable

WRITTEN = "Written by `natfp-bench leaderboard --format md` from the results that are listed at the end."


CORES = 8
"""Cores of a machine for which the time of each result is estimated."""

ABOUT_FINDINGS = (
    "One sentence for each result, and which models it is about; of several protocols of a task, the newest is meant. "
    "The p-values here are those of single tasks; the tables below correct them for all factors that they show "
    "together."
)


def render(
    found: Leaderboards,
    results: Sequence[Result] = (),
    *,
    boards: bool = False,
    trends: Sequence[str] = (),
    curves: Sequence[str] = (),
) -> str:
    """Write leaderboards as one document, which begins with what each result found. Ends with a newline.

    boards: with the board of each protocol. trends, curves: what is written already about results of sweeps, and about
    curves.
    """
    parts = ["# Leaderboards", WRITTEN]
    if results:
        parts += ["## What was found", ABOUT_FINDINGS, *_findings(found, results)]
    for standing in found.standings:
        parts.append(f"## {escape(setting_title(standing.setting))}")
        parts += map(section, standing_tables(standing))
    parts += [*trends, *curves]
    for table in corpora_tables(found.standings):
        parts += ["## From one corpus to another", _lines(table), escape(table.caption)]
    if boards:
        parts.append("## By protocol")
        parts += [section(board_table(board)) for board in found.boards]
    return "\n\n".join([*parts, *_origins(found.origins)]) + "\n"


def _findings(found: Leaderboards, results: Sequence[Result]) -> Iterator[str]:
    """One sentence for each result of a current protocol; the settings are named if there are several."""
    for standing in found.standings:
        of = {row.protocol_digest for row in standing.factors if row.current}
        lines = [f"- {escape(finding(one))} *({escape(scope(one))})*" for one in results if one.protocol_digest in of]
        if lines and len(found.standings) > 1:
            yield f"### {escape(setting_title(standing.setting))}"
        if lines:
            yield "\n".join(lines)


def summary(found: Leaderboards) -> str:
    """Write only the two leaderboards of each setting, for a README: with bold titles instead of headings."""
    parts = []
    for standing in found.standings:
        title = escape(setting_title(standing.setting))
        parts += [
            f"**{title}: {escape(table.title)}**\n\n{_lines(table)}"
            for table in standing_tables(standing, evidence=False)
        ]
    return "\n\n".join(parts) + "\n"


def section(table: ReportTable) -> str:
    """Write a table with its title as a heading and its caption."""
    return "\n\n".join(filter(None, [f"### {escape(table.title)}", _lines(table), escape(table.caption)]))


def _lines(table: ReportTable) -> str:
    plain = table.plain()
    return grid(plain.columns, [[escape(cell) for cell in row] for row in plain.texts], plain.right)


def _origins(origins: Sequence[Origin]) -> list[str]:
    """List the command, the seconds, the machine and the packages of each result."""
    machines = list(dict.fromkeys(tuple(origin.run.environment.items()) for origin in origins))
    rows = []
    for origin in origins:
        run = origin.run
        stages = [f"{stage} {spent:,.1f}" for stage, spent in run.work.items()]
        made_on = str(machines.index(tuple(run.environment.items())) + 1)
        cells = [origin.task, origin.preset, origin.corpus, run.started, f"{run.seconds.get('total', 0.0):,.1f}"]
        cells += [", ".join(stages), f"{sum(run.work.values()) / CORES:,.0f}", made_on]
        rows.append([*map(escape, cells), code(shlex.join(run.command))])
    columns = ("task", "preset", "corpus", "started", "seconds", "work", f"{CORES} cores", "machine", "command")
    about = (
        "Seconds are wall-clock time and do not include what the store already held. Work is the sum of seconds over "
        "all jobs that a result depends on, by stage, whenever they ran; results share jobs. The next column divides "
        f"that by {CORES}: the seconds that so many such cores would need at best, from an empty store."
    )
    versions = list(dict.fromkeys(name for machine in machines for name, _ in machine))
    table = [
        [str(place + 1), *(escape(str(dict(one).get(name, ""))) for name in versions)]
        for place, one in enumerate(machines)
    ]
    return [
        "## How these were made",
        grid(columns, rows, right=("seconds", f"{CORES} cores", "machine")),
        about,
        grid(("machine", *versions), table, right=("machine",)),
    ]
