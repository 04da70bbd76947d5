"""Leaderboards as GitHub Markdown: the tables of the console, how to read them, and how their figures were made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from natfp_bench.results.leaderboard import Leaderboards, Origin

from .cells import Sheet, printable
from .sheets import attributor_sheet, board_sheet, factor_sheet, setting_title, sheets

MARKUP = re.compile(r"[\\`*\[\]<|~&$#]|(?<![^\W_])_|_(?![^\W_])")
"""What GitHub may read as markup, mathematics or an entity inside of a line; an underscore within a word is safe."""

WRITTEN = "Written by `natfp-bench leaderboard --format md`, from the results that are named at the end."


def render(found: Leaderboards, *, boards: bool = False) -> str:
    """Write leaderboards as one document; `boards`: those of each protocol as well. Ends with a newline."""
    parts = ["# Leaderboards", WRITTEN]
    for standing in found.standings:
        parts.append(f"## {escape(setting_title(standing.setting))}")
        parts += [_section(sheet) for sheet in sheets(standing)]
    if boards:
        parts.append("## By protocol")
        parts += [_section(board_sheet(board)) for board in found.boards]
    return "\n\n".join([*parts, *_origins(found.origins)]) + "\n"


def summary(found: Leaderboards) -> str:
    """Write the two leaderboards of each setting alone, for a README: no headings above the third level."""
    parts = []
    for standing in found.standings:
        made = [factor_sheet(standing), *([attributor_sheet(standing)] if standing.attributors else [])]
        title = escape(setting_title(standing.setting))
        parts += [f"**{title}: {escape(sheet.title)}**\n\n{grid_of(sheet)}" for sheet in made]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Make text stand for itself, on one line, in prose and in cells alike."""
    return MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))


def code(text: str) -> str:
    """Make text stand for itself as code; a span in backticks cannot hold every text within a table."""
    return f"<code>{escape(text)}</code>" if text else ""


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Lay out cells, which are Markdown already, as a table."""
    rule = ["---:" if column in right else "---" for column in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ([*map(escape, columns)], rule, *rows))


def grid_of(sheet: Sheet) -> str:
    """Lay out a sheet's cells as a table."""
    return grid(sheet.columns, [[escape(cell) for cell in row] for row in sheet.rows], sheet.right)


def _section(sheet: Sheet) -> str:
    parts = [f"### {escape(sheet.title)}", grid_of(sheet), escape(sheet.caption)]
    return "\n\n".join(filter(None, parts))


def _origins(origins: Sequence[Origin]) -> list[str]:
    """Tell of each result its command, its seconds, and the machine and packages that it was made by."""
    machines = list(dict.fromkeys(tuple(origin.run.environment.items()) for origin in origins))
    rows = []
    for origin in origins:
        run = origin.run
        stages = [f"{stage} {spent:,.1f}" for stage, spent in run.work.items()]
        made_on = str(machines.index(tuple(run.environment.items())) + 1)
        cells = [origin.task, origin.preset, origin.corpus, run.started, f"{run.seconds['total']:,.1f}"]
        rows.append([*map(escape, [*cells, ", ".join(stages), made_on]), code(shlex.join(run.command))])
    columns = ("task", "preset", "corpus", "started", "seconds", "work", "machine", "command")
    about = (
        "Seconds are wall-clock time, in which nothing was made again that the store already held. Work is all that a "
        "result rests on, whenever it was done: seconds summed over the jobs of each stage, side by side or not."
    )
    versions = list(dict.fromkeys(name for machine in machines for name, _ in machine))
    table = [
        [str(place + 1), *(escape(str(dict(one).get(name, ""))) for name in versions)]
        for place, one in enumerate(machines)
    ]
    return [
        "## How these were made",
        grid(columns, rows, right=("seconds", "machine")),
        about,
        grid(("machine", *versions), table, right=("machine",)),
    ]
